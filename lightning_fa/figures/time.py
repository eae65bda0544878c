"""Figures of values over training steps, or over the size of a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lightning_fa.figures.bands import Band, explained, mean_and_band, plot_band
from lightning_fa.figures.style import INK, SYMLOG, axis, legend, styled, styles

Curves = Mapping[str, "Mapping[int, float] | Sequence[Mapping[int, float]]"]
"""Label -> ``{step: value}``, or a list of such mappings, one per seed."""


@styled
def alignment_over_time(
    curves: Curves, *, title: str | None = None, ylabel: str = "angle to backprop (degrees)", band: Band = "std"
) -> Figure:
    """Angles over training steps, one line per layer. A dotted line marks 90 degrees, which is no alignment."""
    figure, ax = axis(title, "training step", ylabel)
    ax.axhline(90, color=INK, linewidth=1, linestyle=(0, (1, 3)))
    _lines(ax, curves, band, log_steps=True)
    ax.set_ylim(0, max(100.0, ax.get_ylim()[1]))
    legend(figure, explained(curves.values(), band))
    return figure


@styled
def learning_curves(
    curves: Curves,
    *,
    title: str | None = None,
    ylabel: str = "test accuracy (%)",
    band: Band = "ci95",
    log_steps: bool = False,
    log_values: bool = False,
) -> Figure:
    """One line per rule, with a confidence band over seeds."""
    figure, ax = axis(title, "training step", ylabel)
    _lines(ax, curves, band, log_steps=log_steps)
    if log_values:
        ax.set_yscale("log")
    legend(figure, explained(curves.values(), band))
    return figure


@styled
def bottleneck(
    curves: Curves,
    *,
    title: str | None = None,
    xlabel: str = "size of the bottleneck",
    ylabel: str = "alignment (cosine)",
    band: Band = "std",
) -> Figure:
    """A measure against the size of a layer, on a log axis: ``{label: {size: value}}``, or one curve per seed in a list."""
    figure, ax = axis(title, xlabel, ylabel)
    ax.set_xscale("log")
    _lines(ax, curves, band, log_steps=None)
    sizes = sorted({size for seeds in curves.values() for seed in seeds_of(seeds) for size in seed})
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.minorticks_off()
    legend(figure, explained(curves.values(), band))
    return figure


def seeds_of(curve: Mapping[int, float] | Sequence[Mapping[int, float]]) -> Sequence[Mapping[int, float]]:
    """A list of curves, one per seed."""
    return [curve] if isinstance(curve, Mapping) else list(curve)


def _lines(ax: Any, curves: Curves, band: Band, *, log_steps: bool | None) -> None:
    for style, (label, curve) in zip(styles(), curves.items()):
        steps, mean, half = mean_and_band(seeds_of(curve), band)
        markers = {} if len(steps) <= 40 else {"marker": ""}
        plot_band(ax, steps, mean, half, label, {**style, **markers})
    if log_steps:
        ax.set_xscale("symlog", **SYMLOG)
    if log_steps is not None:
        ax.set_xlim(left=0)
