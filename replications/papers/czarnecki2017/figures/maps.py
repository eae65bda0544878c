"""Figures 2 and 9: maps of the true loss and of the losses that the layers' SG modules imply, and their correlation."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from lightning_fa.figures.style import MAP, PAGE, styled
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.fig2 import MAPS
from replications.papers.czarnecki2017.figures.logs import curves
from replications.reporting.figures import draw, keep

EARLY = 300  # the step of the early maps
SEEN = {"both": "full SG", "activations": "SG(h), without labels", "labels": "SG(y), without activations"}


def fig2(session: Session, runs: Sequence[Run]) -> None:
    """Maps and correlations of the full SG."""
    _draw(session, [run for run in runs if run.experiment == "fig2"], "fig2")


def fig9(session: Session, runs: Sequence[Run]) -> None:
    """Maps and correlations of an SG without labels, and of an SG without activations."""
    for inputs in ("activations", "labels"):
        chosen = [run for run in runs if run.experiment == "fig9" and run.settings.inputs == inputs]
        _draw(session, chosen, f"fig9-{inputs}")


def _draw(session: Session, runs: Sequence[Run], name: str) -> None:
    title = f"{session.paper.name}, preset {session.preset}: {SEEN[runs[0].settings.inputs]}"
    keep(session, name, _maps(session, [run for run in runs if run.seed == runs[0].seed], title), image=True)
    panels: dict[str, list[Run]] = {}
    for run in runs:
        panels.setdefault(f"{run.settings.labels}, {run.settings.loss}", []).append(run)
    lines = {
        panel: {
            f"layer {i}": [curve[f"sg/hidden{i}/loss_correlation"] for curve in curves(session, seeds)]
            for i in range(1, runs[0].settings.depth + 1)
        }
        for panel, seeds in panels.items()
    }
    axes = {"ylabel": "correlation", "bottom": -1, "top": 1, "xscale": "log", "markers": False}
    draw(session, f"{name}-correlation", lines, title=title, **axes)


@styled
def _maps(session: Session, runs: Sequence[Run], title: str) -> Figure:
    """Two rows per panel, early and late. The columns are the true loss and every second layer from the output."""
    depth = runs[0].settings.depth
    columns = ["true", *(str(i) for i in range(depth, 0, -2))]
    side = min(1.35, (PAGE - 1.3) / len(columns))
    figure = Figure(figsize=(side * len(columns) + 1.3, (side + 0.05) * 2 * len(runs) + 0.5), layout="constrained")
    grid = figure.subplots(2 * len(runs), len(columns), squeeze=False)
    for row, (run, late) in enumerate((run, late) for run in runs for late in (False, True)):
        stored = torch.load(session.folder(run) / MAPS, weights_only=True)
        steps = sorted(stored["steps"])
        step = steps[-1] if late else min(steps, key=lambda s: abs(s - EARLY))
        for ax, name in zip(grid[row], columns):
            _map(ax, stored["steps"][step][name], run.settings.points)
            if row == 0:
                ax.set_title("true loss" if name == "true" else f"layer {name}", fontsize=9)
        grid[row][0].set_ylabel(f"{run.settings.labels}, {run.settings.loss}\nstep {step}", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def _map(ax: Any, values: Any, points: int) -> None:
    """Draw a map with a scale of its own, because an implied loss is known up to a constant."""
    ax.imshow(values.reshape(points, points).numpy(), cmap=MAP, origin="lower", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
