"""The growth of the time of a step with depth, width and batch: the exponent p of t = c n^p, fitted over the upper half."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.time.groups import BASE
from benchmarks.time.interleave import interleave
from benchmarks.time.nets import Case, mlp, stepper

RULES = ("dfa", "lafs", "fa")


class Axis(NamedTuple):
    """A quantity that is varied, and its values."""

    name: str
    values: Sequence[int]
    case: Callable[[int], Case]
    rounds: int = 7


def axes(smoke: bool) -> list[Axis]:
    if smoke:
        return [
            Axis("depth", (1, 2, 3), lambda n: mlp(f"8-8x{n}-10", 4), 2),
            Axis("width", (2, 4, 8), lambda n: mlp(f"8-{n}x2-10", 4), 2),
            Axis("batch", (2, 4, 8), lambda n: mlp("8-8x2-10", n), 2),
        ]
    return [
        Axis("depth", (3, 6, 12, 25, 50, 100, 200), lambda n: mlp(f"784-256x{n}-10")),
        Axis("width", (32, 64, 128, 256, 512, 1024, 2048), lambda n: mlp(f"784-{n}x5-10")),
        Axis("batch", (8, 16, 32, 64, 128, 256, 512, 1024), lambda n: mlp("784-512x5-10", n)),
    ]


def measure(axis: Axis) -> dict[str, dict[str, float]]:
    """{way: {value as text: seconds of a step}}."""
    found: dict[str, dict[str, float]] = {}
    for value in axis.values:
        case = axis.case(value)
        steps = {BASE: stepper(case, None)} | {rule: stepper(case, rule) for rule in RULES}
        for name, times in interleave(steps, axis.rounds).items():
            found.setdefault(name, {})[str(value)] = statistics.median(times)
    return found


def exponent(times: dict[str, float]) -> float:
    """The exponent by least squares of the logarithms, over the upper half of the values."""
    points = sorted((math.log(float(n)), math.log(t)) for n, t in times.items())
    points = points[len(points) // 2 - (len(points) < 4) :]
    x, y = [p[0] for p in points], [p[1] for p in points]
    return statistics.linear_regression(x, y).slope
