"""Figures 1d and 1e: four algorithms on the linear task."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import seed_log
from replications.papers.lillicrap2014.error import SquaredErrors, window
from replications.papers.lillicrap2014.linear import backprop, feedback_alignment, stack, train
from replications.papers.lillicrap2014.settings import Linear

# The paper tuned the rates by hand and does not print them. The first three are from a pilot (evidence.json, fig1d-pilot).
# The last was chosen on seeds 100 to 109, which no result uses.
LEARNING_RATES = {"bp": 0.005, "fa": 0.008, "shallow": 3.0, "node-perturbation": 0.002}
FIRST, LAST, SETTLED, EARLY = 3, 100, 300, 500


def plan(settings: Linear, seeds: Sequence[int]) -> list[list[Run]]:
    """A group of runs for each algorithm."""
    tuned = {rule: replace(settings, learning_rate=rate) for rule, rate in LEARNING_RATES.items()}
    return [[Run("fig1d", f"linear-{rule}", rule, seed, tuned[rule]) for seed in seeds] for rule in tuned]


def train_group(session: Session, runs: Sequence[Run]) -> list[dict[str, float]]:
    """Train all seeds of one algorithm together. The angle of B e to W^T e is measured for every algorithm."""
    settings: Linear = runs[0].settings
    task, network = stack([run.seed for run in runs], settings)
    errors, seen = SquaredErrors(task.y), []
    with seed_log(session, runs) as log:
        for moment in train(task, network, runs[0].rule, settings.learning_rate):
            errors.add(moment.e)
            seen.append(moment.angle(feedback_alignment, backprop))
            if moment.example == 0 or (moment.example + 1) % settings.log_every == 0:
                log(moment.example + 1, {"nse": errors.smooth(), "angle": window(seen), "angle_std": spread(seen)})
    return summary(errors, torch.stack(seen))


def spread(angles: Sequence[Tensor]) -> Tensor:
    """The standard deviation over the last 10 examples; 0 for a single example."""
    last = torch.stack(list(angles[-10:]))
    return last.std(dim=0, correction=1 if len(last) > 1 else 0)


def summary(errors: SquaredErrors, angles: Tensor) -> list[dict[str, float]]:
    """For each seed the numbers that the claims need. `angles` has the shape [examples, seeds]."""
    windows = angles.unfold(0, 10, 1).mean(dim=-1)
    numbers = {
        "nse": errors.smooth(),
        "log10_nse": errors.smooth().log10(),
        "angle_first": angles[:FIRST].mean(dim=0),
        "angle_last": angles[-LAST:].mean(dim=0),
        "angle_largest": windows[SETTLED:].amax(dim=0),
    }
    if len(angles) >= EARLY:
        numbers["nse_500"] = errors.smooth(EARLY)
    return per_seed(numbers)


def per_seed(numbers: dict[str, Tensor]) -> list[dict[str, float]]:
    """Splits {name: [seeds]} into one {name: number} per seed."""
    seeds = len(next(iter(numbers.values())))
    return [{name: values[seed].item() for name, values in numbers.items()} for seed in range(seeds)]
