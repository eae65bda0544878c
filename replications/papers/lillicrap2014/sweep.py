"""Figure 4: feedback alignment from initial weights of different sizes, compared with backprop and pseudobackprop."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_fa.metrics import angles
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import seed_log
from replications.papers.lillicrap2014.error import SquaredErrors
from replications.papers.lillicrap2014.linear import Network, Task, stack, train
from replications.papers.lillicrap2014.settings import OMEGAS, Linear
from replications.papers.lillicrap2014.task1 import per_seed

PROBES, EARLY, LEARNT = 50, 2000, 1e-10


def plan(settings: Linear, seeds: Sequence[int]) -> list[list[Run]]:
    """A group of runs for each size of the initial weights."""
    groups = [replace(settings, omega=omega) for omega in OMEGAS]
    return [[Run("fig4", f"omega-{each.omega:g}", "fa", seed, each) for seed in seeds] for each in groups]


def train_group(session: Session, runs: Sequence[Run]) -> list[dict[str, float]]:
    """Train all seeds with one size of initial weights together."""
    settings: Linear = runs[0].settings
    task, network = stack([run.seed for run in runs], settings)
    errors, history = SquaredErrors(task.y), {}
    with seed_log(session, runs) as log:
        for moment in train(task, network, "fa", settings.learning_rate):
            errors.add(moment.e)
            done = moment.example + 1
            if moment.example == 0 or done % settings.log_every == 0:
                history[done] = {"nse": errors.smooth(), **directions(task, network)}
                log(done, history[done])
    return summary(history)


def directions(task: Task, network: Network) -> dict[str, Tensor]:
    """The angles of B e to W^T e and to W^+ e, each the mean over 50 inputs."""
    x = task.x[:, :PROBES]
    e = x @ (task.T - network.W @ network.A).mT
    fa, bp, pbp = e @ network.B.mT, e @ network.W, e @ torch.linalg.pinv(network.W).mT
    return {"bp_angle": _mean_angles(fa, bp), "pbp_angle": _mean_angles(fa, pbp)}


def _mean_angles(u: Tensor, v: Tensor) -> Tensor:
    """The mean angle over samples: two tensors [copies, samples, width] -> [copies]."""
    return angles(u.flatten(0, 1), v.flatten(0, 1)).unflatten(0, u.shape[:2]).mean(dim=-1)


def summary(history: dict[int, dict[str, Tensor]]) -> list[dict[str, float]]:
    """For each seed the angles after 2000 examples, and those at the first error below 1e-10; nan without such an error."""
    last = history[max(history)]
    numbers = {"log10_nse": last["nse"].log10(), "bp_angle": last["bp_angle"], "pbp_angle": last["pbp_angle"]}
    early = history.get(EARLY, {})
    numbers |= {f"{name}_2000": early[name] for name in ("bp_angle", "pbp_angle") if early}
    learnt = torch.full_like(last["nse"], torch.nan)
    reached, bp, pbp = learnt.clone(), learnt.clone(), learnt.clone()
    for example in sorted(history, reverse=True):
        now = history[example]["nse"] < LEARNT
        reached[now] = float(example)
        bp[now], pbp[now] = history[example]["bp_angle"][now], history[example]["pbp_angle"][now]
    return per_seed(numbers | {"learnt_at": reached, "bp_angle_learnt": bp, "pbp_angle_learnt": pbp})
