"""What a rule governs, for the user: the text of ``print(attached)``, the line at the beginning of ``fit``, names in messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from lightning_fa.surgery import governed
from lightning_fa.wiring.base import ABOVE, Row
from lightning_fa.wrappers import named_modules

WIDTH = 100
"""Columns of a terminal."""
NOTHING = "none"
"""The first word of the error in rows whose matrices are counted as :attr:`Governance.others`."""


def governed_modules(root: nn.Module) -> list[str]:
    """The names of the modules in ``root`` that a rule has entered. ``root`` itself has the name of its type."""
    return [name or type(module).__name__ for name, module in named_modules(root) if governed(module)]


class Governance(NamedTuple):
    """How many weight matrices (parameters of two or more dimensions) of a model learn by the rule, and how many otherwise.

    Attributes:
        governed: By the rule. Under a transport rule these are all layers that it governs. Under any other rule it is one matrix
            per block, nearest to the block's output, where the rule's error arrives (at the head the true error).
        inside: By backpropagation from the error at the output of this block or of the block above: the other matrices of
            blocks, and matrices of modules around the blocks that reach this output, such as embeddings.
        others: By neither: frozen, not used in ``forward``, or, under a transport rule, not governed by it.
    """

    governed: int
    inside: int
    others: int


def count(rows: Sequence[Row], cuts: bool) -> Governance:
    """Count the matrices in the rows of the table. ``cuts``: whether the rule cuts the graph between blocks."""
    sizes = [(row, len(_names(row.governs))) for row in _once(rows)]
    idle = sum(size for row, size in sizes if row.error.startswith(NOTHING))
    working = [(row, size) for row, size in sizes if not row.error.startswith(NOTHING)]
    total = sum(size for _, size in working)
    at_blocks = sum(1 for row, size in working if row.name != "-" and row.error != ABOVE and size)
    governed = at_blocks if cuts else total
    return Governance(governed, total - governed, idle)


def summarised(rule: str, counted: Governance, blocks: int) -> str:
    """One line, which names the argument to pass if matrices learn by backpropagation inside a block."""
    governed, inside, others = counted
    line = f"{rule}: of {sum(counted)} weight matrices {governed} learn by the rule ({blocks} blocks)"
    line += f", {inside} by backpropagation inside a block" if inside else ""
    line += f", {others} by none of these" if others else ""
    if inside:
        line += (
            "; for finer blocks pass `example=` to `attach` (a LightningModule: `example_input_array`) if there is none yet, "
            "or name them with `blocks=`"
        )
    return line + "."


def drawn(rows: Sequence[Row]) -> list[str]:
    """The lines of the table. Lists of weights are shortened to fit a line into :data:`WIDTH` columns."""
    rows = [row._replace(governs=row.governs or "-") for row in _once(rows)]
    rows = [Row("block or layer", "module", "governs", "error", "B"), *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(Row._fields))]
    room = max(WIDTH - (sum(widths) - widths[2]) - 2 * (len(widths) - 1), 12)
    rows = [row._replace(governs=_short(row.governs, room)) for row in rows]
    widths[2] = max(len(row.governs) for row in rows)
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _once(rows: Sequence[Row]) -> list[Row]:
    """The rows, with each matrix that does not learn listed in the last row only, under its full name, not under its block."""
    idle = {name for row in rows if row.name == "-" and row.error.startswith(NOTHING) for name in _names(row.governs)}
    kept = ([name for name in _names(row.governs) if f"{row.name}.{name}" not in idle] for row in rows)
    return [row._replace(governs=", ".join(names)) for row, names in zip(rows, kept)]


def _names(governs: str) -> list[str]:
    return [name for name in re.split(r", (?![^\[]*\])", governs) if name]  # not at the comma of a shape


def _short(governs: str, room: int) -> str:
    if len(governs) <= room:
        return governs
    names = _names(governs)
    for shown in range(len(names) - 1, 0, -1):
        text = f"{len(names)} weights: {', '.join(names[:shown])}, ..."
        if len(text) <= room:
            return text
    return f"{len(names)} weights" if len(names) > 1 else governs
