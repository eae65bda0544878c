"""From the metrics of the runs of one seed to the value that a claim is about; nan where a run lacks it."""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import mul

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
    """The rank correlation of a sequence with its order, ties sharing a rank; nan if it is constant or a value is nan."""
    if any(map(math.isnan, values)):
        return math.nan
    middle = (len(values) - 1) / 2
    ranks = [sum(other < value for other in values) + (values.count(value) - 1) / 2 - middle for value in values]
    places = [place - middle for place in range(len(values))]
    spread = sum(rank**2 for rank in ranks) * sum(place**2 for place in places)
    return sum(map(mul, ranks, places)) / math.sqrt(spread) if spread else math.nan
