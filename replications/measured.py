"""From the metrics of the runs of one seed to the value that a claim is about; nan where a run lacks it."""

import math
from collections.abc import Callable, Mapping, Sequence

from replications.claims import Metrics

Runs = Mapping[str, Metrics]
Measure = Callable[[Runs], float]


def of(run: str, quantity: str) -> Measure:
    """One number of one run; nan where the preset's runs are too short for it, or has no such run."""
    return lambda runs: runs.get(run, {}).get(quantity, math.nan)


def difference(quantity: str, larger: str, smaller: str) -> Measure:
    """One number of a run minus that of another."""
    return lambda runs: of(larger, quantity)(runs) - of(smaller, quantity)(runs)


def spearman(values: Sequence[float]) -> float:
    """The rank correlation of a sequence without ties with its order; nan if one of the values is."""
    if any(map(math.isnan, values)):
        return math.nan
    order = sorted(values)
    n = len(values)
    return 1 - 6 * sum((i - order.index(value)) ** 2 for i, value in enumerate(values)) / (n * (n * n - 1))
