"""Appendix A: a synthetic gradient that is one number adds critical points to the loss sum |ax + b|."""

from typing import NamedTuple

import torch
from torch import Tensor

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import logged
from replications.papers.czarnecki2017.settings import Spurious

X = torch.tensor([-2.0, -1.0, 1.0, 2.0], dtype=torch.float64)
STARTS = ((1.0, 0.0), (1.0, 0.5), (0.3, 0.0), (1.0, 2.5))
SG_RATE = 0.1


class Point(NamedTuple):
    """The state of a system: slope a, offset b, and the output c of the SG module."""

    a: float
    b: float
    c: float = 0.0


def loss(a: Tensor | float, b: Tensor | float) -> Tensor:
    """The loss ``sum_x |ax + b|``. a and b may be tensors of one shape."""
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return (a[..., None] * X + b[..., None]).abs().sum(dim=-1)


def equilibrium(a: Tensor | float, b: Tensor | float) -> Tensor:
    """The c that minimises ``sum_x (c - dL/df)^2``: the mean of the signs."""
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return (a[..., None] * X + b[..., None]).sign().mean(dim=-1)


def sg_path(start: tuple[float, float], settings: Spurious) -> list[Point]:
    """Gradient descent with c in place of dL/df, while c is trained towards its equilibrium."""
    path = [Point(*start)]
    for _ in range(settings.steps):
        a, b, c = path[-1]
        step_a, step_b = settings.learning_rate * c * X.sum().item(), settings.learning_rate * c * len(X)
        path.append(Point(a - step_a, b - step_b, c - SG_RATE * 2 * (c - equilibrium(a, b).item())))
    return path


def bp_path(start: tuple[float, float], settings: Spurious) -> list[Point]:
    """Subgradient descent, with a step size that falls to zero."""
    path = [Point(*start)]
    for step in range(settings.steps):
        a, b, _ = path[-1]
        rate = settings.learning_rate * (1 - step / settings.steps)
        sign = (a * X + b).sign()
        path.append(Point(a - rate * (sign * X).sum().item(), b - rate * sign.sum().item()))
    return path


def train(session: Session, run: Run) -> dict[str, float]:
    """Run both systems from all four starts; returns the numbers that the claims need."""
    settings: Spurious = run.settings
    paths = {"sg": [sg_path(s, settings) for s in STARTS], "bp": [bp_path(s, settings) for s in STARTS]}
    with logged(session, run) as send:
        for step in sorted({*range(0, settings.steps, max(1, settings.steps // 100)), settings.steps}):
            send(step, {
                f"{system}_{name}/{i}": getattr(path[step], name)
                for system, all_paths in paths.items()
                for i, path in enumerate(all_paths)
                for name in Point._fields
            })  # fmt: skip
    metrics = {}
    for i, (start, sg, bp) in enumerate(zip(STARTS, paths["sg"], paths["bp"], strict=True)):
        metrics[f"moved/{i}"] = max(max(abs(p.a - start[0]), abs(p.b - start[1])) for p in sg)
        metrics[f"sg_largest/{i}"] = max(abs(p.c) for p in sg)
        metrics[f"sg_signal/{i}"] = max(abs(p.c) for p in sg[-max(1, settings.steps // 10) :])
        metrics[f"sg_loss/{i}"], metrics[f"bp_loss/{i}"] = loss(*sg[-1][:2]).item(), loss(*bp[-1][:2]).item()
        metrics[f"sg_b/{i}"] = sg[-1].b
    return metrics
