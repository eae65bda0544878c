"""Figure 3: the flow field of two weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lightning_fa.figures.style import INK, STYLES, axis, styled
from replications.experiment.loggers import Curve
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import read_seeds
from replications.papers.lillicrap2014.figures.lines import without_data
from replications.papers.lillicrap2014.flow import FRAME, STARTS, velocity
from replications.reporting.figures import keep

GOOD, BAD, SOLUTIONS = STYLES[0]["color"], STYLES[1]["color"], INK


@styled
def fig3(session: Session, groups: Mapping[str, Sequence[Run]]) -> None:
    """Arrows, trajectories from the logs, and the solutions w w0 = 1. The branch where a trajectory ends gives its colour."""
    (curve,) = read_seeds(session, groups["flow"])
    title = f"{without_data(session)}: three neurons, $B = T = 1$"
    figure, ax = axis(title, "$W_0$", "$W$")
    side = np.linspace(-2, 2, 17)
    w0, w = np.meshgrid(side, side)
    flow = velocity(torch.tensor(np.stack([w0.ravel(), w.ravel()], axis=1))).numpy()
    flow /= np.linalg.norm(flow, axis=1, keepdims=True).clip(1e-9)
    ax.quiver(w0, w, flow[:, 0], flow[:, 1], color="0.75", angles="xy", width=0.003)
    for index in range(len(STARTS) + len(FRAME)):
        _trajectory(ax, curve, index)
    for branch in (np.linspace(0.5, 2, 50), np.linspace(-2, -0.5, 50)):
        ax.plot(branch, 1 / branch, color=SOLUTIONS, linestyle=":", linewidth=2)
    ax.set(xlim=(-2, 2), ylim=(-2, 2))
    keep(session, "fig3", figure)


def _trajectory(ax: Any, curve: Curve, index: int) -> None:
    w0, w = ([values[step] for step in sorted(values)] for values in (curve[f"w0_{index}"], curve[f"w_{index}"]))
    colour = GOOD if w[-1] > 0 else BAD
    ax.plot(w0, w, color=colour, linewidth=2.2 if index < len(STARTS) else 0.8)
    if index < len(STARTS):
        ax.plot(w0[0], w[0], color=colour, marker="o")
