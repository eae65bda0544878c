"""Faults in the runs that czarnecki2017 computes without a Trainer, such as wrong formulas of table 1."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

from replications.papers.czarnecki2017 import fig6, prop2, table1
from replications.papers.czarnecki2017.settings import Settings

EXPERIMENTS = "table1,fig6,thm1,prop2,table2,fig2"


def at_rest(settings: Settings) -> dict[str, Any]:
    """Settings with which no training loop changes a weight."""
    return {
        "table2": replace(settings.table2, learning_rate=0.0, deep_learning_rate=0.0),
        "grid": replace(settings.grid, learning_rate=0.0),
        "grid_labels": ("linear", "random"),
        "table2_sizes": ((2, 100), (100, 1000)),
        "theorem1": replace(settings.theorem1, learning_rate=0.0),
        "tracking": replace(settings.tracking, learning_rate=0.0),
        "spurious": replace(settings.spurious, learning_rate=0.0),
    }


@contextlib.contextmanager
def wrong() -> Iterator[None]:
    """Inside the `with` block four faults are planted.

    The signals of table 1 are doubled, its columns FA and DFA have exchanged flags, the gate of proposition 2 is always open,
    and the SG of figure 6 does not learn.
    """
    columns = table1.columns

    def doubled(alpha: float) -> dict[str, table1.Column]:
        return {n: c._replace(own=2 * c.own, through=2 * c.through) for n, c in columns(alpha).items()}

    flags = {**table1.FLAGS, "fa": table1.FLAGS["dfa"], "dfa": table1.FLAGS["fa"]}
    with (
        mock.patch.object(table1, "columns", doubled),
        mock.patch.object(table1, "FLAGS", flags),
        mock.patch.object(prop2, "TRACKED", 1e9),
        mock.patch.object(fig6, "SG_RATE", 0.0),
    ):
        yield
