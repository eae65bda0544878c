"""How claims find their runs and layers, whatever the depth of the preset."""

import math
from collections.abc import Callable, Mapping

from replications.judging.claims import Metrics, NotRunError

Runs = Mapping[str, Metrics]
Measure = Callable[[Runs], float]
ANY_DATA = ("mnist", "digits", "digits (stand-in)")
"""For claims on artificial data: which images were loaded beside does not matter."""


def pictured(runs: Runs, rule: str) -> Metrics:
    """The run of a rule whose representations were measured."""
    found = [m for name, m in runs.items() if name.startswith(f"{rule}-relu-") and "rsa/1" in m]
    if not found:
        raise NotRunError(rule)
    return found[0]


def by_layer(metrics: Metrics, pattern: str) -> list[float]:
    """A quantity of all hidden layers, from the bottom; ``{}`` in ``pattern`` stands for the layer's number."""
    layers = sum(name.startswith("rsa/") for name in metrics)
    return [metrics[pattern.format(i)] for i in range(1, layers + 1)]


def defined(values: list[float]) -> list[float]:
    """The values, or only nan if one of them is: max and min would pass over it."""
    return [math.nan] if not values or any(math.isnan(value) for value in values) else values
