"""The CSV logs of runs, selected for figures."""

from collections.abc import Mapping, Sequence

from replications.experiment.loggers import Curve, last
from replications.experiment.run import Run
from replications.experiment.session import Session

TITLES = {
    "bp": "backprop",
    "sg-mid": "one SG",
    "sg-all": "SG after every layer",
    "dfa": "DFA",
    "bp-as-sg-all": "backprop at the rate of SG after every layer",
    "untrained": "untrained",
}


def curves(session: Session, runs: Sequence[Run]) -> list[Curve]:
    """The curve of each run."""
    return [session.curve(run) for run in runs]


def pictured(session: Session, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """``{rule: runs of all seeds}`` of the networks whose representations were measured."""
    base = session.settings.mnist
    found: dict[str, list[Run]] = {}
    for rule in TITLES:
        same = [run for run in runs if run.experiment == "mnist" and run.rule == rule]
        found[rule] = [r for r in same if (r.settings.depth, r.settings.activation) == (base.depth, base.activation)]
    return {rule: seeds for rule, seeds in found.items() if seeds}


def at_the_end(curve: Mapping[str, Mapping[int, float]], pattern: str, depth: int, first: int = 1) -> dict[str, float]:
    """The last value of a quantity for each layer. ``{}`` in ``pattern`` is replaced by the layer's number."""
    return {str(i): last(curve[pattern.format(i)]) for i in range(first, depth + 1)}
