"""Computes the numbers that the claims of gilmer2017 need from the curves of one run."""

from collections.abc import Mapping, Sequence

from replications.experiment.loggers import Curve, last
from replications.judging.claims import Metrics, NotRunError
from replications.judging.measured import defined

SETTLED = 100
"""The number of steps after which the readouts differ from those of a fresh B. Without training they cannot differ."""


def summary(curve: Curve) -> dict[str, float]:
    """The last value of every measured quantity, and the first and the largest angle between e^i and e^y.

    `below_fresh` is the angle of a fresh B minus this angle, at the end. `least_below_fresh` is the least difference over
    the steps from SETTLED on.
    """
    metrics = {name: last(values) for name, values in curve.items() if name not in ("epoch", "train/loss")}
    for layer in layers(metrics):
        angle, fresh = curve[f"error_angle/{layer}"], curve[f"fresh_error_angle/{layer}"]
        below = {step: fresh[step] - angle[step] for step in angle}
        later = [below[step] for step in below if step >= SETTLED]
        metrics[f"initial_error_angle/{layer}"] = angle[0]
        metrics[f"largest_error_angle/{layer}"] = max(defined([angle[step] for step in angle if step >= 1]))
        metrics[f"below_fresh/{layer}"] = last(below)
        metrics[f"least_below_fresh/{layer}"] = min(defined(later))
    return metrics


def layers(metrics: Mapping[str, object]) -> list[int]:
    """The numbers of the hidden layers, from 1."""
    return sorted(int(name.split("/")[1]) for name in metrics if name.startswith("error_angle/"))


def over_layers(metrics: Metrics, name: str) -> Sequence[float]:
    """One quantity in all hidden layers; [nan] if any value is nan. Raises NotRunError if there are no layers."""
    found = layers(metrics)
    if not found:
        raise NotRunError(name)
    return defined([metrics[f"{name}/{layer}"] for layer in found])
