"""Intervals over seeds: Student's for a mean, and Fieller's for the ratio of the means of paired differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate and its limits. The limits are infinite if the data do not bound the estimate."""

    value: float
    low: float
    high: float


def critical(n: int) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1))


def of_mean(values: Sequence[float]) -> Interval:
    r"""Student's interval :math:`\bar v \pm t_{n-1} s / \sqrt n`; unbounded for one value."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    half = critical(len(values)) * statistics.stdev(values) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half)


def of_ratio(a: Sequence[float], b: Sequence[float]) -> Interval:
    r"""Fieller's interval of :math:`\bar a / \bar b` for pairs: all :math:`\theta` for which a t test does not distinguish
    :math:`a - \theta b` from 0.

    With :math:`g = t^2 / n` these :math:`\theta` solve :math:`\theta^2 (\bar b^2 - g s_b^2) - 2 \theta (\bar a \bar b - g s_{ab})
    + \bar a^2 - g s_a^2 \le 0`. The solutions are an interval only if the test distinguishes :math:`\bar b` from 0. They are
    unbounded otherwise (Fieller 1954).
    """
    n = len(a)
    mean_a, mean_b = statistics.mean(a), statistics.mean(b)
    value = mean_a / mean_b if mean_b else math.nan
    if n < 2:
        return Interval(value, -math.inf, math.inf)
    g = critical(n) ** 2 / n
    quadratic = mean_b**2 - g * statistics.variance(b)
    if quadratic <= 0:
        return Interval(value, -math.inf, math.inf)
    middle = mean_a * mean_b - g * statistics.covariance(a, b)
    constant = mean_a**2 - g * statistics.variance(a)
    root = math.sqrt(max(middle**2 - quadratic * constant, 0.0))  # only rounding can make it negative
    return Interval(value, (middle - root) / quadratic, (middle + root) / quadratic)


def recovery(rule: Sequence[float], backprop: Sequence[float], frozen: Sequence[float]) -> Interval:
    """The interval of (rule - frozen) / (backprop - frozen), over runs that are paired by their seeds."""
    return of_ratio([r - f for r, f in zip(rule, frozen)], [b - f for b, f in zip(backprop, frozen)])
