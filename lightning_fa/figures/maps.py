"""Figures of values over a plane."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lightning_fa.figures.style import INK, MAP, PAGE, axis, blank, legend, styled


@styled
def rdm_grid(rows: Mapping[str, Mapping[str, Any]], *, title: str | None = None, top: float | None = None) -> Figure:
    """Dissimilarity matrices: one row per run, one column per layer, one colour scale for all.

    Args:
        rows: ``{run: {layer: (samples, samples) matrix}}``.
        title: Title of the figure.
        top: Dissimilarity at the end of the colour scale. Default: the largest in all matrices.
    """
    columns = max(len(layers) for layers in rows.values())
    shown = top or max(float(np.max(np.asarray(m))) for layers in rows.values() for m in layers.values())
    side = min(1.5, (PAGE - 1.2) / columns)
    size = (side * columns + 1.2, (side + 0.2) * len(rows) + (0.4 if title else 0.1))
    figure = blank(size)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    image = None
    for line, (run, layers) in zip(grid, rows.items()):
        for ax, (layer, matrix) in zip(line, layers.items()):
            image = ax.imshow(np.asarray(matrix), cmap=MAP, vmin=0, vmax=shown, interpolation="nearest")
            ax.set_title(layer, fontsize=9)
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for spine in ax.spines.values():
                spine.set_visible(False)
        line[0].set_ylabel(textwrap.fill(run, max(8, int(12 * side))), fontsize=9)
    assert image is not None
    bar = figure.colorbar(image, ax=grid, shrink=0.9, label="1 - correlation")
    bar.outline.set_edgecolor(INK)  # type: ignore[operator]
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


@styled
def loss_surface(
    x: Any,
    y: Any,
    loss: Any,
    *,
    paths: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    title: str | None = None,
    xlabel: str = "$x$",
    ylabel: str = "$y$",
    label: str = "loss",
) -> Figure:
    """Contours of a loss over two parameters, with the paths that runs took over it.

    Args:
        x: Values of the first parameter, ``(columns,)``.
        y: Values of the second parameter, ``(rows,)``.
        loss: ``(rows, columns)``.
        paths: ``{label: [(x, y), ...]}``. A ring marks the beginning of a path, a dot its end.
        title: Title of the plot.
        xlabel: Label of the first parameter.
        ylabel: Label of the second parameter.
        label: Label of the colour scale.
    """
    figure, ax = axis(title, xlabel, ylabel, (5.2, 4.2))
    ax.grid(False)
    surface = ax.contourf(np.asarray(x), np.asarray(y), np.asarray(loss), levels=24, cmap=MAP)
    bar = figure.colorbar(surface, label=label)
    bar.outline.set_edgecolor(INK)  # type: ignore[operator]
    for style, (name, path) in zip(("-", "--", "-.", ":"), (paths or {}).items()):
        points = np.asarray(path, dtype=float)
        # A black line on a white one is visible on every colour of the map.
        ax.plot(*points.T, color="white", linewidth=3)
        ax.plot(*points.T, color="black", linewidth=1.4, linestyle=style)
        ax.plot([], [], color=INK, linewidth=1.4, linestyle=style, label=name)  # the legend has no map behind it
        ax.plot(*points[0], marker="o", markersize=7, markerfacecolor="white", markeredgecolor="black")
        ax.plot(*points[-1], marker="o", markersize=6, markerfacecolor="black", markeredgecolor="white")
    if paths:
        legend(figure)
    return figure
