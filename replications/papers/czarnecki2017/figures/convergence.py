"""Curves of theorem 1, corollary 1 and table 2."""

from collections.abc import Sequence

from lightning_fa.figures import learning_curves
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.figures.logs import curves
from replications.reporting.figures import draw, keep

SMALLEST = 1e-16  # the smallest number that is shown


def thm1(session: Session, runs: Sequence[Run]) -> None:
    """Distance of the weights from least squares, and the error of SG."""
    names = {
        "distance": "weights from least squares",
        "sg_error": "SG from the gradient",
        "distance_untrained": "weights, SG does not learn",
    }
    _lines(session, [run for run in runs if run.experiment == "thm1"], names, "thm1", "distance")


def prop2(session: Session, runs: Sequence[Run]) -> None:
    """Loss above the optimum."""
    names = {"gap": "main step only while SG tracks"}
    _lines(session, [run for run in runs if run.experiment == "prop2"], names, "prop2", "loss above the optimum")


def table2(session: Session, runs: Sequence[Run]) -> None:
    """Log loss of the linear model on separable and on random labels."""
    for size, _ in session.settings.table2_sizes:
        seeds = {
            labels: [run for run in runs if run.name == f"{labels}{size}"] for labels in ("linear", "noisy", "random")
        }
        lines = {
            f"{labels}, {rule}": [curve[f"loss/shallow-log/{key}"] for curve in curves(session, found)]
            for labels, found in seeds.items()
            for rule, key in (("SG", "sg"), ("backprop", "bp"))
        }
        title = f"{session.title}: linear model, {size} dimensions"
        figure = learning_curves(lines, title=title, ylabel="log loss", band="ci95", log_values=True)
        keep(session, f"table2-{size}", figure)


def _lines(session: Session, runs: Sequence[Run], names: dict[str, str], figure: str, quantity: str) -> None:
    """Draw lines on a logarithmic axis. Values below SMALLEST, such as 0, are drawn as SMALLEST."""
    found = curves(session, runs)
    lines = {
        title: [{step: max(value, SMALLEST) for step, value in curve[name].items()} for curve in found]
        for name, title in names.items()
    }
    title = f"{session.paper.name}, preset {session.preset}"
    axes = {"ylabel": quantity, "yscale": "log", "bottom": None, "xscale": "linear", "markers": False}
    draw(session, figure, {"": lines}, title=title, **axes)
