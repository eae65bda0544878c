"""Statistics over seeds: mean, 95 % interval, t test, rank correlation, computed by scipy.

scipy is imported inside the functions, so that `list` does not wait for the import.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

CONFIDENCE = 0.95


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None, list[float] | None]:
    """The mean, the sample standard deviation, and the 95 % interval of the mean by Student's t.

    The mean is nan if any value is nan or if there are no values. The other two are None if the mean is not finite, and for
    a single value.
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
    """The p value of the one-sided t test that the mean of `differences` is positive; nan for fewer than two differences."""
    if len(differences) < 2:
        return math.nan
    if len(set(differences)) == 1:  # the variance is 0, for which scipy would divide by 0
        return 0.0 if differences[0] > 0 else 1.0
    from scipy import stats

    return float(stats.ttest_1samp(differences, 0, alternative="greater").pvalue)


def spearman(values: Sequence[float]) -> float:
    """The rank correlation of `values` with their positions; nan if the values are constant or any value is nan.

    Equal values share a rank.
    """
    if any(map(math.isnan, values)) or len(set(values)) < 2:
        return math.nan
    from scipy import stats

    found = float(stats.spearmanr(values, range(len(values))).statistic)
    return max(-1.0, min(1.0, found))  # rounding may exceed 1, the upper end of the claims' tolerances
