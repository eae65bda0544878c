"""Figures of several panels side by side, at most three in a row and together as wide as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lightning_fa.figures.bands import Band, explained, mean_and_band
from lightning_fa.figures.style import PAGE, STYLES, SYMLOG, blank, legend, styled, wrapped
from lightning_fa.figures.time import Curves, seeds_of

IN_A_ROW = 3
WIDTHS = (5.6, 8.0, PAGE)
"""Width of a figure with one, two and three panels in a row, in inches."""


def sheet(count: int, *, title: str, share: bool = True) -> tuple[Figure, Any]:
    """A figure with ``count`` axes in rows of three at most. Call it inside :func:`~lightning_fa.figures.style.styled`."""
    across = min(count, IN_A_ROW)
    rows = -(-count // across)
    width = WIDTHS[across - 1]
    figure = blank((width, rows * (width / across * 0.7 + 0.5) + 0.3))
    axes = figure.subplots(rows, across, sharey=share, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_axis_off()
    figure.suptitle(wrapped(title, width), fontsize=11)
    return figure, axes[:count]


@styled
def panels(
    lines: Mapping[str, Curves],
    *,
    title: str,
    ylabel: str,
    xlabel: str = "training step",
    xscale: str = "symlog",
    yscale: str = "linear",
    bottom: float | None = 0,
    top: float | None = None,
    markers: bool = True,
    band: Band = "ci95",
) -> Figure:
    """One plot per panel, with a common value axis and one legend below all panels.

    A line is the mean over seeds. On a logarithmic value axis it is the mean of the logarithms. The title of the legend
    explains the band. If there are more lines than styles, their colours form a scale, and bands are left out.

    Args:
        lines: ``{panel: {label: {step: value}}}``, or a list of such curves, one per seed. A label has one style in all panels.
        title: Title of the figure.
        ylabel: Label of the value axis, at every row.
        xlabel: Label of the step axis, at every panel.
        xscale: Name of a matplotlib scale; ``"symlog"`` has a place for step 0.
        yscale: ``"linear"`` or ``"log"``.
        bottom: Lower end of the value axis; ``None`` for the end of the data.
        top: Upper end of the value axis; ``None`` for the end of the data.
        markers: Whether measurements are marked.
        band: The band around the mean, see :func:`~lightning_fa.figures.bands.mean_and_band`.
    """
    figure, axes = sheet(len(lines), title=title)
    labels = list(dict.fromkeys(label for curves in lines.values() for label in curves))
    looks = dict(zip(labels, STYLES if len(labels) <= len(STYLES) else _scale(len(labels)), strict=False))
    many = len(labels) > len(STYLES)
    for ax, (name, curves) in zip(axes, lines.items(), strict=True):
        for label, curve in curves.items():
            look = looks[label] if markers else {**looks[label], "marker": ""}
            steps, mean, low, high = _mean_on(yscale, seeds_of(curve), band)
            ax.plot(steps, mean, label=label, **look)
            if not many and len(seeds_of(curve)) > 1:
                ax.fill_between(steps, low, high, color=look["color"], alpha=0.25, linewidth=0)
        ax.set_xscale(xscale, **(SYMLOG if xscale == "symlog" else {}))
        ax.set(title=name, yscale=yscale, xlabel=xlabel, xlim=(None if xscale == "log" else 0, None))
    axes[0].set_ylim(bottom, top)  # after all panels, which share this axis
    for ax in axes[::IN_A_ROW]:
        ax.set_ylabel(ylabel)
    legend(figure, explained((curve for curves in lines.values() for curve in curves.values()), band, shown=not many))
    return figure


def _mean_on(scale: str, seeds: Any, band: Band) -> tuple[list[Any], Any, Any, Any]:
    """Steps, mean, and the lower and upper end of the band."""
    if scale != "log":
        steps, mean, half = mean_and_band(seeds, band)
        return steps, mean, mean - half, mean + half
    steps, mean, half = mean_and_band([{k: np.log10(v) for k, v in seed.items()} for seed in seeds], band)
    return steps, 10**mean, 10 ** (mean - half), 10 ** (mean + half)


def _scale(count: int) -> list[dict[str, Any]]:
    """Styles for more lines than ``STYLES`` has: the colours of a scale."""
    colours = matplotlib.colormaps["viridis"]
    return [{"color": colours(0.25 + 0.6 * i / (count - 1)), "linestyle": "-", "marker": ""} for i in range(count)]
