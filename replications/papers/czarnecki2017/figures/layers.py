"""Figures 3, 5, 7 and 8: quantities by layer."""

from collections.abc import Sequence

import torch

from lightning_fa.figures import probe_accuracy_by_depth, rdm_grid, weight_norms_by_depth
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.figures.logs import TITLES, at_the_end, curves, pictured
from replications.papers.czarnecki2017.plan import PICTURED
from replications.reporting.figures import keep

Depths = dict[str, list[dict[str, float]]]
COLUMNS = 10


def fig3(session: Session, runs: Sequence[Run]) -> None:
    """Dissimilarity matrices of backprop and SG, and the likeness of the layers to the last layer."""
    _matrices(session, runs, "fig3", ("bp", "sg-mid", "sg-all"))
    likeness = _by_layer(session, runs, "rsa/{}", tuple(TITLES))
    title, ylabel = session.title, "likeness to the last layer (RSM)"
    keep(session, "fig3-likeness", probe_accuracy_by_depth(likeness, title=title, ylabel=ylabel, band="ci95"))


def fig7(session: Session, runs: Sequence[Run]) -> None:
    """Dissimilarity matrices of backprop, SG and DFA."""
    _matrices(session, runs, "fig7", tuple(TITLES))


def fig5(session: Session, runs: Sequence[Run]) -> None:
    """Norms of the matrices between hidden layers, from the second on."""
    norms = _by_layer(session, runs, "weights/layers.hidden{}/norm", ("bp", "sg-mid", "sg-all"), first=2)
    keep(session, "fig5", weight_norms_by_depth(norms, title=session.title, band="ci95"))


def fig8(session: Session, runs: Sequence[Run]) -> None:
    """Probes to the label, to convergence for the lowest layers and in closed form for all, and back to the input."""
    rules = tuple(TITLES)
    lowest = session.settings.mnist.converged_layers
    converged = _by_layer(session, runs, "probe/layers.norm{}/converged_train_accuracy", PICTURED["fig8"], depth=lowest)
    ylabel = "converged probe: training accuracy (%)"
    keep(session, "fig8-converged", probe_accuracy_by_depth(converged, title=session.title, ylabel=ylabel, band="ci95"))
    accuracy = _by_layer(session, runs, "probe/layers.hidden{}/train_accuracy", rules)
    error = _by_layer(session, runs, "probe/layers.hidden{}/input_mse", rules)
    ylabel = "ridge probe: training accuracy (%)"
    keep(session, "fig8-left", probe_accuracy_by_depth(accuracy, title=session.title, ylabel=ylabel, band="ci95"))
    ylabel = "regression to the input: MSE"
    keep(session, "fig8-right", probe_accuracy_by_depth(error, title=session.title, ylabel=ylabel, band="ci95"))


def _by_layer(
    session: Session, runs: Sequence[Run], pattern: str, rules: Sequence[str], first: int = 1, depth: int | None = None
) -> Depths:
    last = depth or session.settings.mnist.depth
    return {
        TITLES[rule]: [at_the_end(curve, pattern, last, first) for curve in curves(session, seeds)]
        for rule, seeds in pictured(session, runs).items()
        if rule in rules
    }


def _matrices(session: Session, runs: Sequence[Run], name: str, rules: Sequence[str]) -> None:
    """Draw the matrices of the first seed, of at most COLUMNS evenly spaced layers."""
    rows = {}
    for rule, seeds in pictured(session, runs).items():
        if rule in rules:
            file = max((session.folder(seeds[0]) / "rsm").glob("*.pt"))
            hidden = list(torch.load(file, weights_only=True).values())[:-1]
            every = -(-len(hidden) // COLUMNS)
            rows[TITLES[rule]] = {f"layer {i}": 1 - m for i, m in enumerate(hidden, start=1) if i % every == 0}
    keep(session, name, rdm_grid(rows, title=session.title), image=True)
