"""One figure per task and preset: the recovery of every rule with its interval, as an SVG that the page shows."""

from __future__ import annotations

from pathlib import Path

import lightning_fa as fa
from benchmarks.leaderboard.table import Rows, order, recovered
from benchmarks.leaderboard.task import Task


def draw(task: Task, preset: str, rows: Rows, path: Path) -> None:
    """An interval that leaves the figure ends at its border."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = order(task, list(fa.RULES), rows)[::-1]
    found = [recovered(task, name, rows) for name in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "lightning-fa", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(figsize=(7, 1 + 0.26 * len(names)), layout="constrained")
        for height, ratio in enumerate(found):
            assert ratio is not None
            axes.plot([max(ratio.low, -9), min(ratio.high, 9)], [height, height], color="#0072B2", linewidth=2)
            axes.plot(ratio.value, height, "o", color="#0072B2")
        for at, what in ((0, "frozen"), (1, "backpropagation")):
            axes.axvline(at, color="black", linewidth=1, linestyle=":")
            axes.text(at, len(names) - 0.4, what, ha="center", va="bottom")
        axes.set(yticks=range(len(names)), yticklabels=names, xlim=(-1, 1.5), ylim=(-0.6, len(names) - 0.4))
        axes.set_xlabel(f"recovery, 95 % interval: {task.title}, {preset}")
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
