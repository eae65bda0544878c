"""Claims of a paper, fixed before any run, and the verdicts on them."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from replications.presets import at_least

Metrics = Mapping[str, float]
SIGNIFICANT = 0.01
Verdict = Literal["reproduced", "failed", "reported"]


@dataclass(frozen=True)
class Claim:
    """One statement and how it is judged.

    measure: from the metrics of one seed's runs, by the name of the run, to the value in question
    expected: what the paper says, in words
    tolerance: the closed interval in which the value must lie; None for a value that is only reported
    over_seeds: "mean" judges the mean over seeds, "every" judges each seed's value, "t-test" judges the mean and asks
        besides that it be above the lower end of the interval with p < 0.01 (one-sided t test)
    seeds: how many seeds the claim is about, where that is fewer than the preset has (1 for what has no randomness)
    possible: what the value cannot leave, as 0 of a distance: an interval that reaches beyond it crosses no bound there
    judged_from: the shortest preset whose runs are long enough for a verdict; below it the value is only reported
    """

    id: str
    experiment: str
    statement: str
    expected: str
    tolerance: tuple[float, float] | None
    source: str
    measure: Callable[[Mapping[str, Metrics]], float]
    over_seeds: Literal["mean", "every", "t-test"] = "mean"
    judged_from: str = "quick"
    datasets: tuple[str, ...] = ("mnist",)
    seeds: int | None = None
    possible: tuple[float, float] = (-math.inf, math.inf)


def judge(claim: Claim, seeds: Sequence[Mapping[str, Metrics]], preset: str, dataset: str) -> dict[str, Any]:
    """The record of one claim for results.json; `seeds` holds, for each seed, the metrics of its runs by name."""
    values = [float(claim.measure(runs)) for runs in seeds]
    mean = statistics.fmean(values)
    reason = _unjudged(claim, preset, dataset)
    return {
        "id": claim.id,
        "statement": claim.statement,
        "expected": claim.expected + (f" [not judged: {reason}]" if reason else ""),
        "tolerance": list(claim.tolerance) if claim.tolerance else None,
        "value": mean if math.isfinite(mean) else None,
        "std": statistics.stdev(values) if len(values) > 1 and math.isfinite(mean) else None,
        "n": len(values),
        "verdict": "reported" if reason or not claim.tolerance else _verdict(claim, values, mean),
        "source": claim.source,
    }


def _unjudged(claim: Claim, preset: str, dataset: str) -> str | None:
    if claim.tolerance is None:
        return None
    if dataset not in claim.datasets:
        return f"the claim is about {', '.join(claim.datasets)} and this is {dataset}"
    if not at_least(preset, claim.judged_from):
        return f"the runs of preset {preset} are too short"
    return None


def _verdict(claim: Claim, values: Sequence[float], mean: float) -> Verdict:
    assert claim.tolerance is not None
    low, high = claim.tolerance
    judged = values if claim.over_seeds == "every" else [mean]
    holds = all(low <= value <= high for value in judged)
    if claim.over_seeds == "t-test":
        holds = holds and p_value([value - low for value in values]) < SIGNIFICANT
    return "reproduced" if holds else "failed"


def p_value(differences: Sequence[float]) -> float:
    """Of the one-sided t test that the mean of `differences` is positive; nan for a single one."""
    n = len(differences)
    if n < 2:
        return math.nan
    spread = statistics.stdev(differences)
    mean = statistics.fmean(differences)
    if spread == 0:
        return 0.0 if mean > 0 else 1.0
    t = mean / spread * math.sqrt(n)
    # t = sqrt(n - 1) tan(angle) turns Student's density into cos^(n - 2), which is smooth on a bounded interval
    angles = [math.atan(t / math.sqrt(n - 1)) + step * _rest(t, n) for step in (i / 2000 for i in range(2001))]
    heights = [math.cos(angle) ** (n - 2) for angle in angles]
    area = (sum(heights) - (heights[0] + heights[-1]) / 2) * _rest(t, n) / 2000
    return area * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2)) / math.sqrt(math.pi)


def _rest(t: float, n: int) -> float:
    return math.pi / 2 - math.atan(t / math.sqrt(n - 1))
