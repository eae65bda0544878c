"""docs/figures/speed-growth.svg: seconds of a step over depth, width and batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lightning_fa.figures.style import legend, styled, styles

PATH = Path(__file__).parents[2] / "docs" / "figures" / "speed-growth.svg"


@styled
def draw(growth: dict[str, dict[str, dict[str, float]]], path: Path = PATH) -> None:
    """One plot for each axis."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for column, (axis, ways) in enumerate(growth.items()):
        ax: Any = figure.add_subplot(1, len(growth), column + 1)
        for (name, times), style in zip(ways.items(), styles()):
            ax.plot([int(n) for n in times], [1e3 * t for t in times.values()], label=name, **style)
        ax.set(xscale="log", yscale="log", xlabel=axis, ylabel="ms a step" if not column else "")
    legend(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
