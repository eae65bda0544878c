"""Theorem 1: linear regression under a linear SG module whose step is found by line search."""

from typing import NamedTuple

import torch
from torch import Tensor

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import logged
from replications.papers.czarnecki2017.artificial import generator
from replications.papers.czarnecki2017.settings import Theorem1

OUTPUTS = 2


class State(NamedTuple):
    """``SG = (alpha + 1) p - (beta + 1) y + gamma 1``, which is the true gradient p - y at alpha = beta = gamma = 0."""

    W: Tensor
    alpha: Tensor
    beta: Tensor
    gamma: Tensor


def error(state: State, p: Tensor, y: Tensor) -> Tensor:
    """``E = alpha p - beta y + gamma 1``: SG minus the true gradient."""
    return state.alpha @ p - state.beta @ y + state.gamma


def iterate(state: State, x: Tensor, y: Tensor, rate: float, *, learns: bool = True) -> State:
    """One iteration of the weights and of SG. The columns of ``x`` are samples, and its last row is ones."""
    p = state.W @ x
    E = error(state, p, y)
    seen = E @ (p.T @ p + y.T @ y + 1)  # the decrease of E per unit of SG's step
    nu = (seen * E).sum() / seen.square().sum() if learns and seen.any() else torch.tensor(0.0)
    sg = E + p - y
    return State(
        state.W - rate * sg @ x.T,
        state.alpha - nu * E @ p.T,
        state.beta + nu * E @ y.T,
        state.gamma - nu * E.sum(dim=1, keepdim=True),
    )


def problem(settings: Theorem1, seed: int) -> tuple[Tensor, Tensor, State]:
    """Data, labels, and an initial state in which SG is zero."""
    rng = generator(seed)
    x = torch.randn(settings.dimensions, settings.samples, generator=rng, dtype=torch.float64)
    y = torch.randn(OUTPUTS, settings.samples, generator=rng, dtype=torch.float64)
    W = torch.randn(OUTPUTS, settings.dimensions + 1, generator=rng, dtype=torch.float64)
    eye = torch.eye(OUTPUTS, dtype=torch.float64)
    return torch.cat([x, torch.ones_like(x[:1])]), y, State(W, -eye, -eye, torch.zeros(OUTPUTS, 1, dtype=torch.float64))


def train(session: Session, run: Run) -> dict[str, float]:
    """Iterate with an SG module that learns and with one that does not; returns the final distances."""
    settings: Theorem1 = run.settings
    x, y, start = problem(settings, run.seed)
    solution = torch.linalg.lstsq(x.T, y.T).solution.T
    state = still = start
    with logged(session, run) as send:
        for step in range(settings.steps + 1):
            if step % max(1, settings.steps // 100) == 0:
                found = {
                    "distance": (state.W - solution).norm().item(),
                    "sg_error": error(state, state.W @ x, y).norm().item(),
                    "distance_untrained": (still.W - solution).norm().item(),
                }
                send(step, found)
            state = iterate(state, x, y, settings.learning_rate)
            still = iterate(still, x, y, settings.learning_rate, learns=False)
    return found
