"""The figures of the page, as SVG: the recovery of every rule, for each task and preset, and the perplexity by readout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning_fa as fa
from benchmarks.leaderboard.table import READOUTS, Rows, order, perplexity, recovered
from benchmarks.leaderboard.task import Task

BLUE = "#0072B2"


@contextmanager
def _saved(lines: int, path: Path) -> Iterator[Any]:
    """The axes of a figure with a line per rule. The same rows give a file with the same bytes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "lightning-fa", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(figsize=(7, 1 + 0.26 * lines), layout="constrained")
        yield axes
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def draw(task: Task, preset: str, rows: Rows, path: Path) -> None:
    """Draw the recovery of every rule. An interval that leaves the figure ends at its border."""
    names = order(task, list(fa.RULES), rows)[::-1]
    found = [recovered(task, name, rows) for name in names]
    with _saved(len(names), path) as axes:
        for height, ratio in enumerate(found):
            assert ratio is not None
            axes.plot([max(ratio.low, -9), min(ratio.high, 9)], [height, height], color=BLUE, linewidth=2)
            axes.plot(ratio.value, height, "o", color=BLUE)
        for at, what in ((0, "frozen"), (1, "backpropagation")):
            axes.axvline(at, color="black", linewidth=1, linestyle=":")
            axes.text(at, len(names) - 0.4, what, ha="center", va="bottom")
        axes.set(yticks=range(len(names)), yticklabels=names, xlim=(-1, 1.5), ylim=(-0.6, len(names) - 0.4))
        axes.set_xlabel(f"recovery, 95 % interval: {task.title}, {preset}")


def readouts(task: Task, preset: str, rows: Rows, path: Path) -> None:
    """Draw the perplexity of the rules that differ in their readout, and of backpropagation and the frozen control."""
    with _saved(len(READOUTS), path) as axes:
        for height, rule in enumerate(reversed(READOUTS)):
            found = perplexity(rows[rule])
            axes.plot([found.low, found.high], [height, height], color=BLUE, linewidth=2)
            axes.plot(found.value, height, "o", color=BLUE)
        labels = [f"{readout} ({rule})" for rule, readout in reversed(READOUTS.items())]
        axes.set(yticks=range(len(labels)), yticklabels=labels, ylim=(-0.6, len(labels) - 0.4))
        axes.set_xlabel(f"perplexity, 95 % interval: {task.name}, {preset}")
