"""Claims of a paper, fixed before any run, and the verdicts on them."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Metrics = Mapping[str, float]
Verdict = Literal["reproduced", "failed", "reported"]


@dataclass(frozen=True)
class Claim:
    """One statement and how it is judged.

    measure: from the metrics of one seed's runs, by the name of the run, to the value in question
    expected: what the paper says, in words
    tolerance: the closed interval in which the value must lie; None for a value that is only reported
    over_seeds: "mean" judges the mean over seeds, "every" judges each seed's value
    judged_in: the presets whose runs are long enough for a verdict; elsewhere the value is only reported
    """

    id: str
    experiment: str
    statement: str
    expected: str
    tolerance: tuple[float, float] | None
    source: str
    measure: Callable[[Mapping[str, Metrics]], float]
    over_seeds: Literal["mean", "every"] = "mean"
    judged_in: tuple[str, ...] = ("quick", "full")
    datasets: tuple[str, ...] = ("mnist",)


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
    if preset not in claim.judged_in:
        return f"the runs of preset {preset} are too short"
    return None


def _verdict(claim: Claim, values: Sequence[float], mean: float) -> Verdict:
    assert claim.tolerance is not None
    low, high = claim.tolerance
    judged = [mean] if claim.over_seeds == "mean" else values
    return "reproduced" if all(low <= value <= high for value in judged) else "failed"
