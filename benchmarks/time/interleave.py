"""Times steps that take turns, so that a machine that slows down slows all steps alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.time.nets import Step

SHORTEST = 5e-3
"""The least seconds of a turn. A shorter step is made several times."""


class Ratio(NamedTuple):
    """The ratio of a step's time to the baseline's in the same round: median over rounds and the range of 80 % of them."""

    ratio: float
    low: float
    high: float
    seconds: float


def seconds(step: Step, times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - begin) / times


def interleave(steps: Mapping[str, Step], rounds: int, warm_up: int = 2) -> dict[str, list[float]]:
    """{step: its seconds in each round}."""
    times = {}
    for name, step in steps.items():
        for _ in range(warm_up):
            step()
        times[name] = max(1, round(SHORTEST / seconds(step, 1)))
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(seconds(step, times[name]))
    return found


def ratios(found: Mapping[str, list[float]], baseline: str) -> dict[str, Ratio]:
    """The ratio of every step to the baseline."""
    table = {}
    for name, own in found.items():
        every = sorted(a / b for a, b in zip(own, found[baseline]))
        cut = len(every) // 10
        table[name] = Ratio(statistics.median(every), every[cut], every[-1 - cut], statistics.median(own))
    return table
