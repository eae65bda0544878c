"""The figures of lillicrap2014 in the paper's layout, drawn from the CSV logs."""

from collections.abc import Callable, Sequence

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import log_file
from replications.papers.lillicrap2014.figures import fields, flow, lines

Group = Sequence[Run]
DRAW: dict[str, Callable[[Session, dict[str, Group]], None]] = {
    "fig1d": lines.fig1d,
    "fig1e": lines.fig1e,
    "fig2d": lines.fig2d,
    "fig3": flow.fig3,
    "fig4": lines.fig4,
    "thm1": lines.thm1,
    "thm2": lines.thm2,
    "pbp": lines.pbp,
    "fig2a": lines.fig2a,
    "fig2b": lines.fig2b,
    "figS1": fields.figs1,
}


def draw_figures(session: Session, groups: Sequence[Group], trainings: Sequence[Run]) -> None:
    """Draw the figures of the chosen experiments."""
    by_name = {runs[0].name: runs for runs in groups if log_file(session, runs).exists()}
    for run in trainings:
        if not (session.folder(run) / "metrics.csv").exists():
            continue  # the results were copied from another folder without the logs
        by_name[run.name] = [*by_name.get(run.name, ()), run]
    for experiment in session.experiments:
        DRAW[experiment](session, by_name)
