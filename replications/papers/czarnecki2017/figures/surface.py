"""Figure 6: the loss of two scalars, the paths of backprop and SG, and the output of SG at its equilibrium."""

from collections.abc import Sequence

import torch

from lightning_fa.figures import loss_surface
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.fig6 import STARTS, equilibrium, loss
from replications.papers.czarnecki2017.figures.logs import curves
from replications.reporting.figures import keep


def fig6(session: Session, runs: Sequence[Run]) -> None:
    """Draw the paths. Rings are starts and dots are ends. A dot within its ring did not move."""
    curve = curves(session, [run for run in runs if run.experiment == "fig6"][:1])[0]
    a, b = torch.linspace(-1.5, 1.5, 181), torch.linspace(-3, 3, 181)
    columns, rows = torch.meshgrid(a, b, indexing="xy")
    names = {"xlabel": "$a$", "ylabel": "$b$"}
    for system, title in (("sg", "one-number SG"), ("bp", "backprop")):
        paths = {
            f"from {start}": list(
                zip(curve[f"{system}_a/{i}"].values(), curve[f"{system}_b/{i}"].values(), strict=True)
            )
            for i, start in enumerate(STARTS)
        }
        figure = loss_surface(a, b, loss(columns, rows), paths=paths, title=f"{title}: $\\sum_x|ax+b|$", **names)
        keep(session, f"fig6-{system}", figure, image=True)
    title = "what SG learns to say: zero in a whole cone"
    figure = loss_surface(a, b, equilibrium(columns, rows), title=title, label="$c^*(a, b)$", **names)
    keep(session, "fig6-sg-says", figure, image=True)
