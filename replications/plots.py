"""Figures from CSV logs: panels side by side, one line per layer, a band of one standard deviation over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

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
Line = Sequence[Mapping[int, float]]  # {step: value} of each seed


def draw(
    panels: Mapping[str, Mapping[str, Line]], path: Path, *, title: str, ylabel: str, top: float | None = None
) -> None:
    """Write `path`.png and `path`.svg: {title of panel: {label of line: seeds}} over a log axis of steps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(TEXT):
        figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.9), sharey=True, squeeze=False)
        for axis, (name, lines) in zip(axes[0], panels.items(), strict=True):
            _panel(axis, lines)
            axis.set(title=name, ylim=(0, top))
        axes[0][0].set_ylabel(ylabel)
        axes[0][-1].legend(frameon=False, loc="best")
        figure.suptitle(title, fontsize=10)
        figure.tight_layout()
        figure.savefig(path.with_suffix(".png"), dpi=150)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        plt.close(figure)


def _panel(axis: Any, lines: Mapping[str, Line]) -> None:
    for style, (label, seeds) in zip(STYLES, lines.items(), strict=False):
        steps = sorted(set.intersection(*(set(seed) for seed in seeds)))
        values = np.array([[seed[step] for step in steps] for seed in seeds])
        mean = values.mean(axis=0)
        axis.plot(steps, mean, label=label, markersize=4, linewidth=1.6, **style)
        if len(seeds) > 1:
            spread = values.std(axis=0, ddof=1)
            axis.fill_between(steps, mean - spread, mean + spread, color=style["color"], alpha=0.2, linewidth=0)
    # linear below 1, so that step 0 has a place on the log axis
    axis.set_xscale("symlog", linthresh=1, linscale=0.4)
    axis.set(xlabel="training step", xlim=(0, None))
    axis.grid(alpha=0.3, linewidth=0.6)
