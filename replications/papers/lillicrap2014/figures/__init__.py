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


CAPTIONS = {
    "fig1d": "Normalised squared error of four algorithms on a linear function; the mean is that of the logarithms. The "
    "paper: feedback alignment is as fast as backpropagation, node perturbation is slow.",
    "fig1e": "Angle of the teaching signal B e to backpropagation's W^T e; where the rule is another one, of a B that it does "
    "not use. The paper: it begins at 90 degrees and soon shrinks.",
    "fig2a": "Test error on MNIST. The paper: 2.4 % by backpropagation, 2.1 % by feedback alignment, 2.4 % with half of W and "
    "B removed, 7.2 % where only the last layer learns.",
    "fig2b": "The angle of figure 1e on MNIST, of the rule itself and of controls; 90 degrees is chance.",
    "fig2d": "Normalised squared error of students of two depths under a nonlinear teacher. The paper: 2.1e-3 with 3 layers "
    "by either rule, 8.8e-4 by feedback alignment and 1.05e-3 by backpropagation with 4.",
    "fig3": "Flow of two weights under feedback alignment. Dotted: solutions W W0 = 1. Blue paths end on the good branch, "
    "orange ones on the branch that the paper calls a small region of bad starts.",
    "fig4-error": "Error on the linear function for each size omega of the initial weights.",
    "fig4-angles": "Angles of B e to backpropagation and to pseudobackpropagation W^+ e, for each omega. The paper: small "
    "weights lead to pseudobackpropagation.",
    "figS1": "Input weights of 36 hidden units of the first seed, each in its own scale of grey.",
    "pbp": "Backpropagation and pseudobackpropagation with steps of the same length. The paper: the latter is of second order.",
    "thm1": "Norm of E and the Lyapunov function V of theorem 1, beside two controls outside of its assumptions.",
    "thm2": "Angles while a single pair is learnt. Theorem 2: B e has the direction of W^+ e if W and A begin at 0.",
}


def draw_figures(session: Session, groups: Sequence[Group], trainings: Sequence[Run]) -> None:
    """All figures of the experiments that were chosen."""
    by_name = {runs[0].name: runs for runs in groups if log_file(session, runs).exists()}
    for run in trainings:
        if not (session.folder(run) / "metrics.csv").exists():
            continue  # finished in another folder, whose results were taken over without its logs
        by_name[run.name] = [*by_name.get(run.name, ()), run]
    for experiment in session.experiments:
        DRAW[experiment](session, by_name)
