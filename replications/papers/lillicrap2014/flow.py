"""Figure 3: the flow of the two weights of three neurons in a row, x -> w0 -> w -> y, with B = T = 1.

Its equations are dw0/dt = 1 - w w0 and dw/dt = (1 - w w0) w0. Therefore w - w0^2 / 2 is constant along the flow. The flow
ends on the hyperbola w w0 = 1, on the branch w > 0 from most starting points and on w < 0 from a few.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import seed_log
from replications.papers.lillicrap2014.settings import Flow

# (w0, w) at the start: the origin, the paper's counterexample, and a frame around the figure
STARTS = ((0.0, 0.0), (-1.0, -1.5))
FRAME = tuple((side * 2.0, -2 + step * 0.5) for step in range(9) for side in (-1, 1))


def plan(settings: Flow) -> list[list[Run]]:
    """One run, because nothing is random."""
    return [[Run("fig3", "flow", "fa", 0, settings)]]


def train_group(session: Session, runs: Sequence[Run]) -> list[dict[str, float]]:
    """Trajectories from STARTS and FRAME, and the end points of a grid."""
    settings: Flow = runs[0].settings
    side = torch.linspace(-2, 2, settings.grid, dtype=torch.float64)
    starts = torch.tensor([*STARTS, *FRAME], dtype=torch.float64)
    p = torch.cat([starts, torch.cartesian_prod(side, side)])
    conserved = invariant(p)
    drift = 0.0
    with seed_log(session, runs) as log:
        for step in range(round(settings.seconds / settings.dt) + 1):
            if step % max(1, round(0.1 / settings.dt)) == 0 and step * settings.dt <= 10:
                log(step, columns(p[: len(starts)]))
            drift = max(drift, (invariant(p) - conserved).abs().max().item())
            p = runge_kutta(velocity, p, settings.dt)
    bad = (p[len(starts) :, 1] < 0).double().mean().item()
    ends = {"w0": p[0, 0].item(), "w": p[0, 1].item(), "w_bad_start": p[1, 1].item()}
    return [ends | {"bad_fraction": bad, "invariant_drift": drift}]


def velocity(p: Tensor) -> Tensor:
    """d/dt of points p [points, 2] = (w0, w)."""
    w0, w = p.unbind(dim=-1)
    e = 1 - w * w0
    return torch.stack([e, e * w0], dim=-1)


def invariant(p: Tensor) -> Tensor:
    """The quantity w - w0^2 / 2, which is constant along the flow, so that trajectories are parabolas."""
    return p[:, 1] - p[:, 0].square() / 2


def columns(p: Tensor) -> dict[str, Tensor]:
    """The trajectories as columns of the log."""
    return {f"{name}_{i}": p[i, k : k + 1] for i in range(len(p)) for k, name in enumerate(("w0", "w"))}


def runge_kutta(f: Callable[[Tensor], Tensor], p: Tensor, dt: float) -> Tensor:
    """One step of the classical method of order 4."""
    k1 = f(p)
    k2 = f(p + dt / 2 * k1)
    k3 = f(p + dt / 2 * k2)
    k4 = f(p + dt * k3)
    return p + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
