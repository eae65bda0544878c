"""What is said of several seeds: mean, 95 % interval, t test, rank correlation. All of it is scipy's.

scipy is imported where it is used: the list of papers should not wait for it.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

CONFIDENCE = 0.95


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None, list[float] | None]:
    """The mean, the sample standard deviation, and the 95 % interval of the mean by Student's t.

    The mean is nan where a value is or where there are none; the others are None then, and for one value.
    """
    mean = fmean(values) if values else math.nan
    if len(values) < 2 or not math.isfinite(mean):
        return mean, None, None
    std = stdev(values)
    if std == 0:
        return mean, std, [mean, mean]
    from scipy import stats

    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=std / math.sqrt(len(values)))
    return mean, std, [float(low), float(high)]


def p_value(differences: Sequence[float]) -> float:
    """Of the one-sided t test that the mean of `differences` is positive; nan for a single one."""
    if len(differences) < 2:
        return math.nan
    if len(set(differences)) == 1:  # no spread at all, of which scipy makes inf or nan
        return 0.0 if differences[0] > 0 else 1.0
    from scipy import stats

    return float(stats.ttest_1samp(differences, 0, alternative="greater").pvalue)


def spearman(values: Sequence[float]) -> float:
    """The rank correlation of a sequence with its order, ties sharing a rank; nan if it is constant or a value is nan."""
    if any(map(math.isnan, values)) or len(set(values)) < 2:
        return math.nan
    from scipy import stats

    found = float(stats.spearmanr(values, range(len(values))).statistic)
    return max(-1.0, min(1.0, found))  # claims accept it up to 1
