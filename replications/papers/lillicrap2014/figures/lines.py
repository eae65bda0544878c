"""Figures that are curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import read_seeds
from replications.papers.lillicrap2014.mnist import angle_of
from replications.papers.lillicrap2014.settings import OMEGAS
from replications.reporting.figures import Line, draw

Groups = Mapping[str, Sequence[Run]]
Axes = dict[str, Any]
DEGREES = "angle (degrees)"
ANGLES: Axes = {"ylabel": "angle of $Be$ to $W^Te$ (degrees)", "top": 100}
EXAMPLES: Axes = {"xlabel": "examples", "xscale": "linear", "markers": False}
MILLIONS: Axes = EXAMPLES | {"xlabel": "examples (millions)"}
LOG_ERROR: Axes = EXAMPLES | {"ylabel": "normalised squared error", "yscale": "log", "bottom": None}
TASK1 = {
    "shallow": "linear-shallow",
    "node perturbation": "linear-node-perturbation",
    "backpropagation": "linear-bp",
    "feedback alignment": "linear-fa",
}
TASK2 = {
    "shallow": "mnist-shallow",
    "backpropagation": "mnist-bp",
    "feedback alignment": "mnist-fa",
    "sparse feedback alignment": "mnist-fa-sparse-w",
}
TASK3 = {
    "shallow": "student-shallow",
    "backpropagation, 3 layers": "student-bp-3",
    "feedback alignment, 3 layers": "student-fa-3",
    "backpropagation, 4 layers": "student-bp-4",
    "feedback alignment, 4 layers": "student-fa-4",
}


def _lines(session: Session, groups: Groups, names: Mapping[str, str], quantity: str) -> dict[str, Line]:
    """{label: the line of each seed} of one quantity, for runs whose seeds were computed together."""
    return {
        label: [seed[quantity] for seed in read_seeds(session, groups[name])]
        for label, name in names.items()
        if name in groups
    }


def without_data(session: Session) -> str:
    """The title of figures of synthetic tasks, which use no data set."""
    return f"{session.paper.name}, preset {session.preset}"


def fig1d(session: Session, groups: Groups) -> None:
    """Error of four algorithms on task 1."""
    panels = {"Linear function": _lines(session, groups, TASK1, "nse")}
    draw(session, "fig1d", panels, title=without_data(session), **LOG_ERROR)


def fig1e(session: Session, groups: Groups) -> None:
    """Angle under feedback alignment, and under the other algorithms as controls."""
    panels = {"Linear function": _lines(session, groups, TASK1, "angle")}
    draw(session, "fig1e", panels, title=without_data(session), **EXAMPLES | ANGLES)


def fig2a(session: Session, groups: Groups) -> None:
    """Test error on MNIST."""
    lines = {}
    for label, name in TASK2.items():
        curves = [session.curve(run)["test/accuracy_at"] for run in groups[name]]
        lines[label] = [_errors(session, curve) for curve in curves]
    draw(session, "fig2a", {"MNIST": lines}, ylabel="test error (%)", top=14, **MILLIONS)


def fig2b(session: Session, groups: Groups) -> None:
    """Angle on MNIST, and in the controls."""
    lines = {}
    for label, name in TASK2.items():
        angles = [angle_of(session.curve(run)) for run in groups[name]]
        lines[label] = [_by_examples(session, angle) for angle in angles]
    draw(session, "fig2b", {"MNIST": lines}, **MILLIONS | ANGLES)


def _errors(session: Session, accuracies: Mapping[int, float]) -> dict[float, float]:
    return {x: 100 - accuracy for x, accuracy in _by_examples(session, accuracies).items()}


def _by_examples(session: Session, values: Mapping[int, float]) -> dict[float, float]:
    """The values over millions of examples in place of steps, as in the paper."""
    return {step * session.settings.mnist.batch_size / 1e6: value for step, value in values.items()}


def fig2d(session: Session, groups: Groups) -> None:
    """Error of students of two depths."""
    panels = {"Nonlinear teacher": _lines(session, groups, TASK3, "nse")}
    draw(session, "fig2d", panels, title=without_data(session), **LOG_ERROR)


def fig4(session: Session, groups: Groups) -> None:
    """Error and two angles for each size of the initial weights."""
    names = {rf"$\omega$ = {omega:g}": f"omega-{omega:g}" for omega in OMEGAS}
    errors = {"Error": _lines(session, groups, names, "nse")}
    draw(session, "fig4-error", errors, title=without_data(session), **LOG_ERROR)
    angles = {
        "to backpropagation": _lines(session, groups, names, "bp_angle"),
        "to pseudobackpropagation": _lines(session, groups, names, "pbp_angle"),
    }
    draw(session, "fig4-angles", angles, title=without_data(session), ylabel=DEGREES, top=100, **EXAMPLES)


def thm1(session: Session, groups: Groups) -> None:
    """Error and Lyapunov function of the theorem and of the controls."""
    names = {"theorem 1": "mean-flow", "equal columns": "mean-flow-repeated-column", "8 hidden": "mean-flow-narrow"}
    panels = {"$|E|$": _lines(session, groups, names, "error"), "$V$": _lines(session, groups, names, "lyapunov")}
    shown = EXAMPLES | {"xlabel": "steps of the integration", "ylabel": "size", "yscale": "log", "bottom": 1e-30}
    draw(session, "thm1", panels, title=without_data(session), **shown)


def thm2(session: Session, groups: Groups) -> None:
    """Two angles while a single pair is learnt."""
    names = {"from W = A = 0": "single-pair", "control": "single-pair-not-from-0"}
    panels = {
        "to pseudobackpropagation": _finite(_lines(session, groups, names, "pbp_angle")),
        "to backpropagation": _finite(_lines(session, groups, names, "bp_angle")),
    }
    draw(session, "thm2", panels, title=without_data(session), **EXAMPLES | {"xlabel": "steps", "ylabel": DEGREES})


def _finite(lines: Mapping[str, Line]) -> dict[str, Line]:
    """The lines without the steps at which an angle is not defined."""
    return {label: [{k: v for k, v in seed.items() if v == v} for seed in seeds] for label, seeds in lines.items()}


def pbp(session: Session, groups: Groups) -> None:
    """Error of the two directions with steps of equal length."""
    names = {"backpropagation": "matched-bp", "pseudobackpropagation": "matched-pbp"}
    panels = {"Steps of one length": _lines(session, groups, names, "nse")}
    draw(session, "pbp", panels, title=without_data(session), **LOG_ERROR)
