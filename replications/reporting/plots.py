"""Figures from CSV logs: panels side by side, one line per layer, a band for the 95 % interval of the mean over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from replications.judging.statistics import CONFIDENCE

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# Okabe and Ito's colours, distinguishable with any colour vision; line styles and markers tell the same in grey.
STYLES = (
    {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    {"color": "#000000", "linestyle": ":", "marker": "D"},
    {"color": "#CC79A7", "linestyle": "-", "marker": "v"},
    {"color": "#E69F00", "linestyle": "--", "marker": "P"},
)
TEXT: Any = {"font.size": 11, "svg.hashsalt": "lightning-fa", "svg.fonttype": "none"}
IN_A_ROW = 3
Line = Sequence[Mapping[int, float]]  # {step: value} of each seed


def draw(
    panels: Mapping[str, Mapping[str, Line]],
    path: Path,
    *,
    title: str,
    ylabel: str,
    top: float | None = None,
    bottom: float | None = 0,
    xlabel: str = "training step",
    xscale: str = "symlog",
    yscale: str = "linear",
    markers: bool = True,
) -> None:
    """Write `path`.png and `path`.svg: {title of panel: {label of line: seeds}}, by default over a log axis of steps."""
    with sheet(path, columns=len(panels), title=f"{title}; {_seeds(panels)}") as axes:
        for axis, (name, lines) in zip(axes, panels.items(), strict=True):
            _panel(axis, lines, log=yscale == "log", markers=markers)
            # linear below 1, so that step 0 has a place on the log axis
            axis.set_xscale(xscale, **({"linthresh": 1, "linscale": 0.4} if xscale == "symlog" else {}))
            axis.set(
                title=name,
                yscale=yscale,
                xlabel=xlabel,
                xlim=(None if xscale == "log" else 0, None),
            )
            axis.grid(alpha=0.3, linewidth=0.6)
        axes[0].set(ylabel=ylabel, ylim=(bottom, top))  # of all panels, when the last has had its say
        many = len(axes[-1].lines) > len(STYLES)
        place: Any = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if many else {"loc": "best"}
        axes[-1].legend(frameon=False, **place)


@contextmanager
def sheet(path: Path, *, columns: int, title: str, share: bool = True) -> Iterator[Any]:
    """Axes in rows of three at most, which are written to `path`.png and `path`.svg when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    across = min(columns, IN_A_ROW)
    rows = -(-columns // across)
    with plt.rc_context(TEXT):
        figure, grid = plt.subplots(rows, across, figsize=(4.6 * across, 3.9 * rows), sharey=share, squeeze=False)
        axes = grid.ravel()
        for unused in axes[columns:]:
            unused.set_axis_off()
        yield axes[:columns]
        figure.suptitle(title, fontsize=10)
        figure.tight_layout()
        figure.savefig(path.with_suffix(".png"), dpi=150)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        plt.close(figure)


def _seeds(panels: Mapping[str, Mapping[str, Line]]) -> str:
    """How many seeds the lines are the mean of, and what the bands are."""
    counts = sorted({len(seeds) for lines in panels.values() for seeds in lines.values()})
    many = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    bands = ", bands: 95 % interval of the mean" if counts[-1] > 1 else ""
    return f"{many} seed{'s' if counts[-1] > 1 else ''}{bands}"


def _panel(axis: Any, lines: Mapping[str, Line], *, log: bool, markers: bool) -> None:
    few = len(lines) <= len(STYLES)
    for style, (label, seeds) in zip(STYLES if few else _scale(len(lines)), lines.items(), strict=False):
        steps = sorted(set.intersection(*(set(seed) for seed in seeds)))
        values = np.array([[seed[step] for step in steps] for seed in seeds])
        # on a log axis the mean and the interval of the logarithms
        values = np.log10(values) if log else values
        mean, half = values.mean(axis=0), half_width(values)
        middle, low, high = (10**line if log else line for line in (mean, mean - half, mean + half))
        look = style if markers else {**style, "marker": ""}
        axis.plot(steps, middle, label=label, markersize=4, linewidth=1.6, **look)
        if len(seeds) > 1 and few:
            axis.fill_between(steps, low, high, color=style["color"], alpha=0.2, linewidth=0)


def half_width(values: Any) -> Any:
    """Of the 95 % interval of the mean over the first axis, by Student's t; 0 of a single seed."""
    n = len(values)
    if n < 2:
        return 0 * values[0]
    from scipy import stats

    return stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)


def _scale(count: int) -> list[dict[str, Any]]:
    """Styles for lines that are steps of a scale, too many to tell apart otherwise, from dark to light."""
    return [
        {"color": plt.get_cmap("viridis")(0.9 * i / (count - 1)), "linestyle": "-", "marker": ""} for i in range(count)
    ]
