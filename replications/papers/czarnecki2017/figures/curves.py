"""Figure 4: learning curves over depth and activation."""

from collections.abc import Sequence

from lightning_fa.figures import learning_curves
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.figures.logs import TITLES
from replications.papers.czarnecki2017.figures.logs import curves as logs_of
from replications.papers.czarnecki2017.plan import mnist_name
from replications.reporting.figures import keep


def fig4(session: Session, runs: Sequence[Run]) -> None:
    """One figure per activation: running mean of the training loss."""
    for activation, depths in session.settings.depths.items():
        lines = {}
        for depth in depths:
            for rule in ("bp", "sg-mid"):
                seeds = [run for run in runs if run.name == mnist_name(rule, activation, depth)]
                found = [curve["train/running_loss"] for curve in logs_of(session, seeds)]
                if found:
                    lines[f"{TITLES[rule]}, {depth} layers"] = found
        title = f"{session.title}: {activation}"
        figure = learning_curves(lines, title=title, ylabel="training loss", band="ci95", log_values=True)
        keep(session, f"fig4-{activation}", figure)
