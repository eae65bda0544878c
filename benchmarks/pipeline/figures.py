"""docs/figures/pipeline-schedules.svg and pipeline-idle.svg, from the measured costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.pipeline.prediction import SCHEDULES, STAGES, Costs, typical
from lightning_fa.figures.style import INK, legend, styled, styles

FOLDER = Path(__file__).parents[2] / "docs" / "figures"
KINDS = {
    "F": ("forward", "#0072B2"),
    "B": ("backward, or what a rule learns", "#D55E00"),
    "W": ("gradients of weights, later", "#A67C00"),
    "U": ("update", "#009E73"),
}


@styled
def draw_schedules(costs: Costs, path: Path, stages: int = 4, microbatches: int = 4) -> None:
    """Every schedule on some stages, up to the end of the longest step."""
    cost = typical(costs)
    figure = Figure(figsize=(9, 1.15 * len(SCHEDULES) + 0.6), layout="constrained")
    found = {name: schedule([cost] * stages, microbatches, costs["delay"]) for name, schedule in SCHEDULES.items()}
    longest = max(outcome.step for outcome in found.values())
    for row, (name, outcome) in enumerate(found.items()):
        ax = figure.add_subplot(len(SCHEDULES), 1, row + 1)
        for (stage, kind, _), span in outcome.spans.items():
            if span.begin < longest * 1.02:
                ax.barh(
                    stage, span.end - span.begin, 0.85, span.begin, color=KINDS[kind][1], edgecolor=INK, linewidth=0.4
                )
        ax.set(xlim=(0, longest * 1.02), ylim=(stages - 0.5, -0.5), yticks=range(stages), ylabel=name)
        ax.grid(False)
        ax.tick_params(labelbottom=row == len(SCHEDULES) - 1)
    figure.axes[-1].set_xlabel("seconds")
    handles = [Patch(color=colour, label=label) for label, colour in KINDS.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    _save(figure, path)


@styled
def draw_idle(many: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """The share of idle time over the number of stages."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for column, (text, by_schedule) in enumerate(many.items()):
        ax: Any = figure.add_subplot(1, len(many), column + 1)
        for (name, by_stages), style in zip(by_schedule.items(), styles()):
            ax.plot(STAGES, [100 * by_stages[str(p)] for p in STAGES], label=name, **style)
        ax.set_xscale("log", base=2)
        ax.set(
            title=text, xlabel="stages", ylabel="idle, %", ylim=(-3, 100), xticks=STAGES, xticklabels=map(str, STAGES)
        )
    legend(figure)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
