"""From the metrics of the runs of one seed to the value that a claim is about."""

import math
from collections.abc import Callable, Mapping, Sequence

from replications.judging.claims import Metrics

Runs = Mapping[str, Metrics]
Measure = Callable[[Runs], float]


def of(run: str, quantity: str) -> Measure:
    """One number of one run; nan where the preset's runs are too short for it."""
    return lambda runs: runs[run].get(quantity, math.nan)


def needed(run: str, quantity: str) -> Measure:
    """The same of a number that every run has: where it is missing, it was not run yet."""
    return lambda runs: runs[run][quantity]


def minus(larger: Measure, smaller: Measure) -> Measure:
    """One value above another."""
    return lambda runs: larger(runs) - smaller(runs)


def defined(values: Sequence[float]) -> Sequence[float]:
    """The values, or only nan if there are none or one of them is nan: max and min would pass over it."""
    return values if values and not any(map(math.isnan, values)) else [math.nan]


def difference(quantity: str, larger: str, smaller: str) -> Measure:
    """One number of a run minus that of another."""
    return minus(of(larger, quantity), of(smaller, quantity))
