"""Theorem 2 (proof 3): learning a single pair from W = A = 0, feedback alignment has the direction of pseudobackpropagation.

With eta_A = eta_W / x^T x there are numbers s_h, s_w such that h = s_h B y* and W = s_w y* (B y*)^T. Therefore W^+ e is
parallel to B e, because (y* (B y*)^T)^+ y* = B y* / |B y*|^2. The paper prints |B y*|^2 in place of 1 / |B y*|^2. This error
has no consequence, because both numbers are positive.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_fa.metrics import angles
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import seed_log
from replications.papers.lillicrap2014.linear import times
from replications.papers.lillicrap2014.settings import SinglePair
from replications.papers.lillicrap2014.task1 import per_seed

ROUNDING = 1e-8  # the direction of a smaller error is rounding noise


def plan(settings: SinglePair, seeds: Sequence[int]) -> list[list[Run]]:
    """The theorem, and the control whose weights do not start from 0."""
    groups = {"single-pair": settings, "single-pair-not-from-0": replace(settings, omega=0.25)}
    return [[Run("thm2", name, "fa", seed, chosen) for seed in seeds] for name, chosen in groups.items()]


def train_group(session: Session, runs: Sequence[Run]) -> list[dict[str, float]]:
    """Train all seeds together."""
    settings: SinglePair = runs[0].settings
    x, y, A, W, B = (torch.cat(each) for each in zip(*(draw(run.seed, settings) for run in runs), strict=True))
    rate_A = settings.learning_rate / x.square().sum(dim=-1)
    largest = torch.zeros(len(runs), dtype=torch.float64)
    with seed_log(session, runs) as log:
        for step in range(settings.steps + 1):
            h = times(A, x)
            e = y - times(W, h)
            fa, bp, pbp = times(B, e), times(W.mT, e), times(torch.linalg.pinv(W), e)
            defined = (e.norm(dim=-1) > ROUNDING) & W.flatten(1).any(dim=-1)
            largest = torch.where(defined, torch.maximum(largest, angles(fa, pbp)), largest)
            if step % settings.log_every == 0 and defined.any():
                shown = {"pbp_angle": angles(fa, pbp), "bp_angle": angles(fa, bp), "error": e.norm(dim=-1)}
                log(step, {name: values.where(defined, torch.nan) for name, values in shown.items()})
            W = W + settings.learning_rate * e.unsqueeze(2) * h.unsqueeze(1)
            A = A + (rate_A.unsqueeze(-1) * fa).unsqueeze(2) * x.unsqueeze(1)
    return per_seed({"largest_pbp_angle": largest, "error": e.norm(dim=-1), **erratum(B, y)})


def draw(seed: int, settings: SinglePair) -> tuple[Tensor, ...]:
    """The x, y* = T x, A, W, B of one seed."""
    rng = torch.Generator().manual_seed(seed)
    i, h, o = settings.sizes

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(1, *shape, generator=rng, dtype=torch.float64) - 1

    T, A, W, B = (
        uniform(o, i),
        settings.omega * uniform(h, i),
        settings.omega * uniform(o, h),
        settings.beta * uniform(h, o),
    )
    x = torch.randn(1, i, generator=rng, dtype=torch.float64)
    return x, times(T, x), A, W, B


def erratum(B: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The constant s in (y* (B y*)^T)^+ y* = s B y*, divided by our 1 / |B y*|^2 and by the paper's |B y*|^2."""
    By = times(B, y)
    found = times(torch.linalg.pinv(y.unsqueeze(2) * By.unsqueeze(1)), y)
    s = (found * By).sum(dim=-1) / By.square().sum(dim=-1)
    squared = By.square().sum(dim=-1)
    return {"constant_over_ours": s * squared, "constant_over_papers": s / squared}
