"""Theorem 1: the mean dynamics dW/dt = E A^T, dA/dt = B E with E = T - W A drive E to 0, if B^+ B = I and W = A = 0 at first.

V = tr(B E E^T B^T) never rises, and C = B W + W^T B^T - A A^T is constant.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import seed_log
from replications.papers.lillicrap2014.flow import runge_kutta
from replications.papers.lillicrap2014.settings import MeanFlow
from replications.papers.lillicrap2014.task1 import per_seed

NARROW = 8


def plan(settings: MeanFlow, seeds: Sequence[int]) -> list[list[Run]]:
    """The theorem, and two controls in which B^+ B is not the identity: equal columns of B, fewer hidden than output units."""
    i, _, o = settings.sizes
    groups = {
        "mean-flow": settings,
        "mean-flow-repeated-column": replace(settings, repeated_column=True),
        "mean-flow-narrow": replace(settings, sizes=(i, NARROW, o)),
    }
    return [[Run("thm1", name, "fa", seed, chosen) for seed in seeds] for name, chosen in groups.items()]


def train_group(session: Session, runs: Sequence[Run]) -> list[dict[str, float]]:
    """Integrate all seeds together. W^T and A are the two parts of one state [seeds, h, o + i]."""
    settings: MeanFlow = runs[0].settings
    drawn = [draw(run.seed, settings) for run in runs]
    T, B = (torch.cat(each) for each in zip(*drawn, strict=True))
    outputs = settings.sizes[2]

    def parts(state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        W, A = state[..., :outputs].mT, state[..., outputs:]
        return W, A, T - W @ A

    def velocity(state: Tensor) -> Tensor:
        _, A, E = parts(state)
        return torch.cat([A @ E.mT, B @ E], dim=-1)

    state = torch.zeros(len(runs), settings.sizes[1], outputs + settings.sizes[0], dtype=torch.float64)
    start = size(T)
    V = lyapunov(B, T)
    V_start, rise, drift = V, torch.full_like(V, -torch.inf), torch.zeros_like(V)
    with seed_log(session, runs) as log:
        for step in range(round(settings.seconds / settings.dt) + 1):
            W, A, E = parts(state)
            V_before, V = V, lyapunov(B, E)
            rise = torch.maximum(rise, V - V_before) if step else rise
            drift = torch.maximum(drift, invariant(W, A, B).abs().amax(dim=(1, 2)))
            if step % settings.log_every == 0:
                log(step, {"error": size(E), "lyapunov": V, "invariant": invariant(W, A, B).abs().amax(dim=(1, 2))})
            state = runge_kutta(velocity, state, settings.dt)
    numbers = {"error": size(E), "log10_error_ratio": (size(E) / start).log10(), "lyapunov_rise": rise / V_start}
    least = torch.linalg.svdvals(T)[:, settings.sizes[1] :].norm(dim=-1)
    return per_seed(numbers | {"invariant_drift": drift, "least_error_of_rank": least})


def draw(seed: int, settings: MeanFlow) -> tuple[Tensor, Tensor]:
    """T ~ U(-1, 1) [1, o, i] and B ~ U(-beta, beta) [1, h, o]. `repeated_column` makes two columns of B equal."""
    rng = torch.Generator().manual_seed(seed)
    i, h, o = settings.sizes
    T = 2 * torch.rand(1, o, i, generator=rng, dtype=torch.float64) - 1
    B = settings.beta * (2 * torch.rand(1, h, o, generator=rng, dtype=torch.float64) - 1)
    if settings.repeated_column:
        B[..., 1] = B[..., 0]
    return T, B


def size(E: Tensor) -> Tensor:
    """The Frobenius norm of E [seeds]."""
    return E.flatten(1).norm(dim=-1)


def lyapunov(B: Tensor, E: Tensor) -> Tensor:
    """V = tr(B E E^T B^T) [seeds]."""
    return (B @ E).square().sum(dim=(1, 2))


def invariant(W: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """C = B W + W^T B^T - A A^T [seeds, h, h]."""
    return B @ W + (B @ W).mT - A @ A.mT
