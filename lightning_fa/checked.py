"""The result of :func:`lightning_fa.check`, as a table and as an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class WeightRow(NamedTuple):
    """One weight matrix. Angles, in degrees, are between rule and backpropagation; ``nan`` if either is zero or missing."""

    weight: str
    block: str
    error: str
    """The error that reaches the output of the block, in words."""
    error_angle: float
    """The angle of this error, as a mean over samples."""
    angle: float
    """The angle of the gradient of the weight."""
    learns: str
    """``by the rule``, ``as by backpropagation`` or ``not at all``."""


@dataclass(frozen=True)
class Check:
    """The result of :func:`check`, to be printed.

    Attributes:
        rule: The rule, as in its checkpoint.
        rows: The weight matrices, in the order of the model.
        forward_unchanged: Whether all recorded outputs and the loss are bitwise those without the rule.
        summary: How many matrices learn by the rule, how many by backpropagation inside a block, how many by neither.
        unheld: Parameters in none of the optimizers that were given.
        problems: Problems, as sentences; empty if there are none.
    """

    rule: Mapping[str, Any]
    rows: Sequence[WeightRow]
    forward_unchanged: bool
    summary: str
    unheld: Sequence[str]
    problems: Sequence[str]

    def raise_if_wrong(self) -> None:
        """Raise if there are problems, for use in CI.

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
