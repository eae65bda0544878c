"""Proof 2: pseudobackpropagation prescribes the Gauss-Newton step of the hidden units, and learns task 1 faster."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from lightning_fa.metrics import angles
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import seed_log
from replications.papers.lillicrap2014.error import SquaredErrors
from replications.papers.lillicrap2014.linear import Moment, backprop, pseudobackprop, stack, times, train
from replications.papers.lillicrap2014.settings import Linear
from replications.papers.lillicrap2014.task1 import per_seed

RULES, LEARNT = ("bp", "pbp"), 1e-6


def plan(settings: Linear, seeds: Sequence[int]) -> list[list[Run]]:
    """Two groups of runs, whose steps have the same length and the directions of W^T e and of W^+ e."""
    return [[Run("pbp", f"matched-{rule}", rule, seed, settings) for seed in seeds] for rule in RULES]


def train_group(session: Session, runs: Sequence[Run]) -> list[dict[str, float]]:
    """Train all seeds of one algorithm together."""
    settings: Linear = runs[0].settings
    task, network = stack([run.seed for run in runs], settings)
    errors = SquaredErrors(task.y)
    learnt_at = torch.full((len(runs),), torch.nan, dtype=torch.float64)
    at_start: dict[str, Tensor] = {}
    with seed_log(session, runs) as log:
        for moment in train(task, network, runs[0].rule, settings.learning_rate):
            at_start = at_start or gauss_newton(moment)
            errors.add(moment.e)
            done = moment.example + 1
            learnt_at[learnt_at.isnan() & (errors.smooth() < LEARNT)] = float(done)
            if done == 1 or done % settings.log_every == 0:
                log(done, {"nse": errors.smooth()})
    return per_seed({**at_start, "learnt_at": learnt_at, "log10_nse": errors.smooth().log10()})


def gauss_newton(moment: Moment) -> dict[str, Tensor]:
    """The relative distance of W^+ e from the Gauss-Newton step of the hidden units, and the angle of W^T e to the step.

    The step is the least-squares solution of J dh = -e with the least norm. J is the Jacobian of the error e(h) = y* - W h,
    computed by automatic differentiation. The solver is independent of `pinv`. The angle is a control.
    """
    network, e, h = moment.network, moment.e, moment.h
    y = e + times(network.W, h)
    J = vmap(jacrev(lambda h, W, y: y - W @ h))(h, network.W, y)
    step = torch.linalg.lstsq(J, -e.unsqueeze(-1), driver="gelsd").solution.squeeze(-1)
    pbp, bp = pseudobackprop(network, e, h), backprop(network, e, h)
    distance = (pbp - step).norm(dim=-1) / step.norm(dim=-1)
    return {"gauss_newton_distance": distance, "bp_gauss_newton_angle": angles(bp, step)}
