"""Figures of values over depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightning_fa.figures.bands import Band, explained, mean_and_band, plot_band
from lightning_fa.figures.style import axis, legend, styled, styles

ByLayer = Mapping[str, "Mapping[str, float] | Sequence[Mapping[str, float]]"]
"""Label (a rule) -> ``{layer: value}`` in the order of depth, or a list of such mappings, one per seed."""


@styled
def probe_accuracy_by_depth(
    results: ByLayer, *, title: str | None = None, ylabel: str = "probe accuracy (%)", band: Band = "std"
) -> Figure:
    """Accuracy of linear probes (or their error in regression) at every layer, one line per rule."""
    return _by_depth(results, title, ylabel, band)


@styled
def weight_norms_by_depth(
    results: ByLayer, *, title: str | None = None, ylabel: str = "Frobenius norm", band: Band = "std"
) -> Figure:
    """Norms of the weights at every layer, one line per rule."""
    return _by_depth(results, title, ylabel, band)


def _by_depth(results: ByLayer, title: str | None, ylabel: str, band: Band) -> Figure:
    figure, ax = axis(title, "layer", ylabel)
    names: list[str] = []
    for style, (label, result) in zip(styles(), results.items()):
        names, mean, half = mean_and_band([result] if isinstance(result, Mapping) else list(result), band)
        plot_band(ax, range(1, len(names) + 1), mean, half, label, style)
    # Names of modules where there is room for them, numbers in deep networks.
    if len(names) <= 8:
        ax.set_xticks(range(1, len(names) + 1), names)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, explained(results.values(), band))
    return figure
