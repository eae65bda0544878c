"""The function that trains the runs of each experiment."""

from collections.abc import Callable

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017 import fig2, fig6, mnist, prop2, step_time, table1, table2, thm1

TRAINED_BY: dict[str, Callable[[Session, Run], dict[str, float]]] = {
    "fig2": fig2.train,
    "fig6": fig6.train,
    "fig9": fig2.train,
    "mnist": mnist.train,
    "prop2": prop2.train,
    "step-time": step_time.train,
    "table1": table1.train,
    "table2": table2.train,
    "thm1": thm1.train,
}


def train(session: Session, run: Run) -> dict[str, float]:
    """Train one run; returns the numbers that the claims need."""
    return TRAINED_BY[run.experiment](session, run)
