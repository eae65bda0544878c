"""Figure 1 of gilmer2017, and two figures that are not in the paper, drawn from the CSV logs."""

from collections.abc import Sequence
from statistics import fmean

from replications.experiment.loggers import Curve
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.gilmer2017.summary import layers
from replications.reporting.figures import Line, draw

TITLES = {"dfa": "DFA", "lafs": "LAFS"}


def draw_figures(session: Session, runs: Sequence[Run]) -> None:
    """Draw the figures of the chosen experiments."""
    curves = session.curves(runs)
    standard = {TITLES[name]: curves[name] for name in TITLES if name in curves}
    scaled = {_title(name): seeds for name, seeds in curves.items() if "-b" in name and name.split("-")[0] in TITLES}
    if standard:
        angle = {name: _angles(seeds) for name, seeds in standard.items()}
        readout = {name: _hidden(seeds, "readout") | _top(seeds) for name, seeds in standard.items()}
        signal = {name: _hidden(seeds, "backprop_angle") for name, seeds in standard.items()}
        draw(session, "fig1-left", angle, ylabel="angle between $e^i$ and $e^y$ (degrees)")
        draw(session, "fig1-right", readout, ylabel="training accuracy (%)", top=100)
        draw(session, "alignment", signal, ylabel="angle of signal to backprop (degrees)", top=100)
    if scaled:
        angle = {name: _angles(seeds) for name, seeds in scaled.items()}
        draw(session, "b-scale", angle, ylabel="angle between $e^i$ and $e^y$ (degrees)", top=60)


def _hidden(seeds: Sequence[Curve], quantity: str) -> dict[str, Line]:
    return {f"layer {i}": [curve[f"{quantity}/{i}"] for curve in seeds] for i in layers(seeds[0])}


def _angles(seeds: Sequence[Curve]) -> dict[str, Line]:
    """The angle of each layer, and the null: the angle through a fresh B of the same size, the mean over layers."""
    names = [f"fresh_error_angle/{i}" for i in layers(seeds[0])]
    fresh = [{step: fmean(curve[name][step] for name in names) for step in curve[names[0]]} for curve in seeds]
    return _hidden(seeds, "error_angle") | {"fresh B": fresh}


def _top(seeds: Sequence[Curve]) -> dict[str, Line]:
    return {"top layer": [curve["accuracy/top"] for curve in seeds]}


def _title(name: str) -> str:
    rule, _, bound = name.partition("-b")
    return f"{TITLES[rule]}, B within ±{bound}"
