"""Claims of a paper, fixed before any run, and the verdicts on them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from replications.judging.presets import LOOK, PRESETS, at_least, base
from replications.judging.statistics import mean_and_interval, p_value

Metrics = Mapping[str, float]
SIGNIFICANT = 0.01
HOLDS = f"it holds; preset {LOOK} fails claims and reproduces none"
ANY_DATA = ("mnist", "digits", "digits (stand-in)")
"""The data sets of claims that are not about data, so that any images may be loaded."""
Verdict = Literal["reproduced", "undecided", "failed", "reported", "not run yet"]


class NotRunError(KeyError):
    """A claim needs a run, or a number of a run, that is missing from the results."""


class Recorded(dict[str, Any]):
    """Runs by name, or the numbers of one run by name. A missing name raises NotRunError."""

    def __missing__(self, name: str) -> Any:
        raise NotRunError(name)


@dataclass(frozen=True)
class Claim:
    """One statement and how it is judged. ``partial(Claim, ...)`` holds the arguments that the claims of one figure share.

    measure: a function from {name of the run: its metrics}, of one seed, to the value that is judged
    expected: the paper's result, in words
    tolerance: the closed interval in which the value must lie; None for a value that is only reported
    source: the source of the statement and of the tolerance, "evidence: name" for an entry of the paper's evidence.json
    over_seeds: "mean" judges the mean over seeds by its 95 % interval, "every" judges each seed's value, "t-test" asks
        that the mean be above the lower end of the tolerance with p < 0.01 (one-sided t test), and not above its upper end
    seeds: the number of seeds of the claim if it is smaller than the preset's (1 for a value without randomness)
    possible: the range of possible values, such as 0 to infinity for a distance; the 95 % interval is clipped to it
    judged_from: the shortest preset whose runs are long enough for a verdict; a shorter preset only reports the value
    """

    id: str
    statement: str
    measure: Callable[[Mapping[str, Metrics]], float]
    _: KW_ONLY
    experiment: str
    expected: str = "not in the paper"
    tolerance: tuple[float, float] | None = None
    source: str = "ours"
    over_seeds: Literal["mean", "every", "t-test"] = "mean"
    judged_from: str = "quick"
    datasets: tuple[str, ...] = ("mnist",)
    seeds: int | None = None
    possible: tuple[float, float] = (-math.inf, math.inf)


def judge(claim: Claim, seeds: Sequence[Mapping[str, Metrics]], preset: str, dataset: str) -> dict[str, Any]:
    """The record of one claim for results.json. `seeds` holds {name of the run: its metrics} of each seed.

    `n` is the number of seeds that have the runs that the claim needs. The other seeds do not count.
    """
    values = [value for runs in seeds if (value := measured(claim, runs)) is not None]
    mean, std, interval = mean_and_interval(values)
    reason = _unjudged(claim, preset, dataset)
    verdict = _verdict(claim, values, mean, interval) if claim.tolerance and not reason else _unbound(values)
    note = f" [not judged: {reason}]" if reason else ""
    if preset == LOOK and verdict == "reproduced":
        verdict, note = "reported", f" [{HOLDS}]"
    return {
        "id": claim.id,
        "statement": claim.statement,
        "expected": claim.expected + note,
        "tolerance": list(claim.tolerance) if claim.tolerance else None,
        "value": mean if math.isfinite(mean) else None,
        "std": std,
        "interval": interval,
        "n": len(values),
        "verdict": verdict,
        "source": claim.source,
    }


def measured(claim: Claim, runs: Mapping[str, Metrics]) -> float | None:
    """The value of one seed, or None if its runs are missing."""
    try:
        return float(claim.measure(Recorded({name: Recorded(metrics) for name, metrics in runs.items()})))
    except NotRunError:
        return None


def _unjudged(claim: Claim, preset: str, dataset: str) -> str | None:
    if claim.tolerance is None:
        return None
    if dataset not in claim.datasets:
        return f"the claim is about {', '.join(claim.datasets)} and this is {dataset}"
    if preset not in PRESETS:
        return f"settings of preset {base(preset)} were changed"
    if not at_least(preset, claim.judged_from):
        return f"the runs of preset {preset} are too short"
    return None


def _unbound(values: Sequence[float]) -> Verdict:
    return "reported" if values else "not run yet"


def _verdict(claim: Claim, values: Sequence[float], mean: float, interval: list[float] | None) -> Verdict:
    assert claim.tolerance is not None
    low, high = claim.tolerance
    if not values:
        return "not run yet"
    if claim.over_seeds == "every":
        return "reproduced" if all(low <= value <= high for value in values) else "failed"
    if not math.isfinite(mean):
        return "failed"
    least, most = _clipped(interval or [mean, mean], claim.possible)
    if claim.over_seeds == "t-test":
        if mean <= high and p_value([value - low for value in values]) < SIGNIFICANT:
            return "reproduced"
        return "failed" if most < low or least > high or (interval and mean < low) else "undecided"
    if low <= least and most <= high:
        return "reproduced"
    return "failed" if most < low or least > high else "undecided"


def _clipped(interval: Sequence[float], possible: tuple[float, float]) -> tuple[float, float]:
    return max(interval[0], possible[0]), min(interval[1], possible[1])
