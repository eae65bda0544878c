"""The paper's figures, drawn from the logs of the runs."""

from collections.abc import Callable, Sequence

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.figures import convergence, curves, layers, maps, surface

DRAWN: dict[str, Callable[[Session, Sequence[Run]], None]] = {
    "fig2": maps.fig2,
    "fig9": maps.fig9,
    "fig3": layers.fig3,
    "fig4": curves.fig4,
    "fig5": layers.fig5,
    "fig6": surface.fig6,
    "fig7": layers.fig7,
    "fig8": layers.fig8,
    "prop2": convergence.prop2,
    "table2": convergence.table2,
    "thm1": convergence.thm1,
}


def draw_figures(session: Session, runs: Sequence[Run]) -> None:
    """Draw the figures of the chosen experiments."""
    for experiment in session.experiments:
        if experiment in DRAWN:
            DRAWN[experiment](session, runs)
