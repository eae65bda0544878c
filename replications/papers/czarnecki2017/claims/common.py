"""Functions that find the runs and layers of claims at any depth of the preset."""

from replications.judging.claims import Metrics, NotRunError
from replications.judging.measured import Runs


def pictured(runs: Runs, rule: str) -> Metrics:
    """The run of a rule whose representations were measured."""
    found = [m for name, m in runs.items() if name.startswith(f"{rule}-relu-") and "rsa/1" in m]
    if not found:
        raise NotRunError(rule)
    return found[0]


def by_layer(metrics: Metrics, pattern: str) -> list[float]:
    """A quantity of all hidden layers, from the lowest. ``{}`` in ``pattern`` is replaced by the layer's number."""
    layers = sum(name.startswith("rsa/") for name in metrics)
    return [metrics[pattern.format(i)] for i in range(1, layers + 1)]
