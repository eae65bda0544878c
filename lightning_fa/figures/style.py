"""One style for all figures: transparent background, mid-tones that have contrast with white and with black."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.figure import Figure

INK = "#7b7b7b"
"""Text, axes and grid: a contrast of more than 4 with white and with black."""

# The four of Okabe and Ito's colours with a contrast of 3 with both backgrounds, and two mid-tones between them in hue.
STYLES: Sequence[dict[str, Any]] = (
    {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    {"color": "#D55E00", "linestyle": "--", "marker": "s"},
    {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    {"color": "#C0669B", "linestyle": ":", "marker": "D"},
    {"color": "#7b7b7b", "linestyle": "-", "marker": "v"},
    {"color": "#A67C00", "linestyle": "--", "marker": "P"},
)
MAP = "cividis"
PAGE = 9.0
"""Width of the widest figure in inches: that of a page of documentation at 92 pixels per inch, where 9 points are legible."""
SYMLOG: dict[str, Any] = {"linthresh": 1, "linscale": 0.4}
"""Settings of step axes: linear below 1, so that step 0 has a place on the log axis."""

RC: dict[str, Any] = {
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "svg.hashsalt": "lightning-fa",
    "svg.fonttype": "none",
}
# Settings that figures take from matplotlib's defaults and not from the user. The backend is not among them.
_OURS = [
    key
    for key in matplotlib.rcParamsDefault
    if key.split(".")[0] in ("axes", "figure", "font", "lines", "xtick", "ytick")
]
P = ParamSpec("P")
T = TypeVar("T")


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Run ``draw`` in this style, and restore the user's own settings."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        defaults: dict[str, Any] = {key: matplotlib.rcParamsDefault[key] for key in _OURS}  # type: ignore[index]
        settings: Any = {**defaults, **RC}
        with matplotlib.rc_context(settings):
            return draw(*args, **kwargs)

    return drawn


def blank(size: tuple[float, float]) -> Figure:
    """An empty figure, which notebooks show as a picture without a magic command.

    ``_repr_png_`` is set on the instance and not in a subclass, because W&B accepts only Matplotlib's own class as a figure.
    """
    figure = Figure(figsize=size, layout="constrained")
    vars(figure)["_repr_png_"] = functools.partial(_png, figure)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def axis(title: str | None, xlabel: str, ylabel: str, size: tuple[float, float] = (5.6, 3.9)) -> tuple[Figure, Any]:
    """A figure with one plot."""
    figure = blank(size)
    ax = figure.add_subplot()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if title:
        ax.set_title(wrapped(title, size[0]), fontsize=11)
    return figure, ax


def wrapped(title: str, inches: float) -> str:
    """``title`` in as many lines as it needs at 11 points, so that it is not cut off on both sides."""
    return textwrap.fill(title, int(inches * 10.5))


def legend(figure: Figure, note: str | None = None) -> None:
    """A legend with one entry per label, below all plots. ``note`` is the legend's title."""
    lines = {label: line for ax in figure.axes for line, label in zip(*ax.get_legend_handles_labels())}
    if not lines:
        return
    inches = 0.6 + 0.08 * max(len(label) for label in lines)
    columns = max(1, min(len(lines), int(figure.get_figwidth() / inches)))
    rows = -(-len(lines) // columns) + bool(note)
    figure.set_figheight(figure.get_figheight() + 0.2 * rows)
    figure.legend([*lines.values()], [*lines], loc="outside lower center", ncols=columns, title=note)


def styles() -> Iterator[dict[str, Any]]:
    """The styles of lines, in an endless cycle. From the second round on the colours are paler."""
    opacity = 1.0
    while True:
        for style in STYLES:
            yield {**style, "alpha": opacity}
        opacity = max(0.4, opacity - 0.3)


@styled
def save(figure: Figure, path: str | Path, *, svg: bool = True) -> tuple[Path, ...]:
    """Write ``path``.svg and ``path``.png, the same bytes for the same figure; returns the paths.

    Args:
        figure: A figure made by a function of this package.
        path: The path without suffix.
        svg: False for maps: only a PNG of 256 colours is written, which has a tenth of the bytes and looks the same.
    """
    stem = Path(path)
    stem.parent.mkdir(parents=True, exist_ok=True)
    png = stem.with_name(stem.name + ".png")
    figure.savefig(png, dpi=150, metadata={"Software": None})
    if not svg:
        from PIL import Image

        with Image.open(png) as image:
            few = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(png, optimize=True)
        return (png,)
    vectors = stem.with_name(stem.name + ".svg")
    figure.savefig(vectors, metadata={"Date": None})
    return vectors, png
