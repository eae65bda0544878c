"""From the curves of one run of gilmer2017 to the numbers that its claims are about."""

from collections.abc import Mapping, Sequence

from replications.experiment.loggers import Curve, last
from replications.judging.claims import Metrics, NotRunError
from replications.judging.measured import defined

SETTLED = 100
"""Steps after which the readouts differ from those of a fresh B: before training they cannot."""


def summary(curve: Curve) -> dict[str, float]:
    """Of every measured quantity the last value; of the angle between e^i and e^y also the first and the largest.

    `below_fresh` is by how much that angle is below the one of a fresh B at the end, `least_below_fresh` the least of
    it at the steps from SETTLED on.
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
    """One quantity in all hidden layers."""
    found = layers(metrics)
    if not found:
        raise NotRunError(name)
    return defined([metrics[f"{name}/{layer}"] for layer in found])
