"""From the curves of one run of gilmer2017 to the numbers that its claims are about."""

import math
from collections.abc import Mapping

from replications.claims import Metrics
from replications.loggers import Curve


def summary(curve: Curve) -> dict[str, float]:
    """Of every measured quantity the last value; of the angle between e^i and e^y also the first and the largest."""
    metrics = {name: values[max(values)] for name, values in curve.items() if name not in ("epoch", "train/loss")}
    for layer in layers(metrics):
        angle = curve[f"error_angle/{layer}"]
        metrics[f"initial_error_angle/{layer}"] = angle[0]
        metrics[f"largest_error_angle/{layer}"] = max(_defined([angle[step] for step in angle if step >= 1]))
    return metrics


def layers(metrics: Mapping[str, object]) -> list[int]:
    """The numbers of the hidden layers, from 1."""
    return sorted(int(name.split("/")[1]) for name in metrics if name.startswith("error_angle/"))


def over_layers(metrics: Metrics, name: str) -> list[float]:
    """One quantity in all hidden layers."""
    return _defined([metrics[f"{name}/{layer}"] for layer in layers(metrics)])


def _defined(values: list[float]) -> list[float]:
    """The values, or only nan if one of them is: max and min would pass over it and a diverged run would look good."""
    return [math.nan] if any(math.isnan(value) for value in values) else values
