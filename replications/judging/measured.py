"""Functions from the metrics of one seed's runs to the value that a claim judges."""

import math
from collections.abc import Callable, Mapping, Sequence

from replications.judging.claims import Metrics

Runs = Mapping[str, Metrics]
Measure = Callable[[Runs], float]


def of(run: str, quantity: str) -> Measure:
    """One number of one run. The value is nan if the run lacks the number, because the preset's runs are too short for it."""
    return lambda runs: runs[run].get(quantity, math.nan)


def needed(run: str, quantity: str) -> Measure:
    """One number of one run. A run that lacks the number counts as not run yet."""
    return lambda runs: runs[run][quantity]


def minus(larger: Measure, smaller: Measure) -> Measure:
    """The difference of two values."""
    return lambda runs: larger(runs) - smaller(runs)


def defined(values: Sequence[float]) -> Sequence[float]:
    """The values, or [nan] if there are none or any value is nan, because max and min may ignore nan."""
    return values if values and not any(map(math.isnan, values)) else [math.nan]


def difference(quantity: str, larger: str, smaller: str) -> Measure:
    """The difference of one number between two runs."""
    return minus(of(larger, quantity), of(smaller, quantity))
