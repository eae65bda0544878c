"""What :func:`lightning_fa.check` saw, as a table and as an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class WeightRow(NamedTuple):
    """One weight matrix. Angles are in degrees to backpropagation's, ``nan`` where one of the two is zero or missing."""

    weight: str
    block: str
    error: str
    """What reaches the output of the block."""
    error_angle: float
    """Of that error, the mean over samples."""
    angle: float
    """Of the gradient of the weight."""
    learns: str
    """``by the rule``, ``as by backpropagation`` or ``not at all``."""


@dataclass(frozen=True)
class Check:
    """What :func:`check` saw; ``print`` it.

    Attributes:
        rule: The rule, as in its checkpoint.
        rows: The weight matrices, in the order of the model.
        forward_unchanged: Whether all recorded outputs and the loss are bitwise those without the rule.
        summary: How many matrices learn by the rule, how many by backpropagation inside a block, how many by nothing.
        unheld: Parameters in none of the optimizers that were given.
        problems: What is wrong, in sentences; empty if nothing is.
    """

    rule: Mapping[str, Any]
    rows: Sequence[WeightRow]
    forward_unchanged: bool
    summary: str
    unheld: Sequence[str]
    problems: Sequence[str]

    def raise_if_wrong(self) -> None:
        """For CI.

        Raises:
            RuntimeError: there are :attr:`problems`.
        """
        if self.problems:
            raise RuntimeError("\n".join([*self.problems, str(self)]))

    def __str__(self) -> str:
        cells = [("weight", "block", "error at its output", "angle", "gradient", "learns")]
        cells += [(r.weight, r.block, r.error, _degrees(r.error_angle), _degrees(r.angle), r.learns) for r in self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
        forward = "bitwise as without the rule" if self.forward_unchanged else "NOT as without the rule"
        lines = [self.summary, f"Forward pass: {forward}. Angles are to backpropagation's.", *table]
        return "\n".join([*lines, *(f"WRONG: {problem}" for problem in self.problems)])

    __repr__ = __str__


def _degrees(angle: float) -> str:
    return "-" if angle != angle else f"{angle:.1f}°"
