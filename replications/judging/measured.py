"""From the metrics of the runs of one seed to the value that a claim is about."""

import math
from collections.abc import Callable, Mapping

from replications.judging.claims import Metrics

Runs = Mapping[str, Metrics]
Measure = Callable[[Runs], float]


def of(run: str, quantity: str) -> Measure:
    """One number of one run; nan where the preset's runs are too short for it."""
    return lambda runs: runs[run].get(quantity, math.nan)


def difference(quantity: str, larger: str, smaller: str) -> Measure:
    """One number of a run minus that of another."""
    return lambda runs: of(larger, quantity)(runs) - of(smaller, quantity)(runs)
