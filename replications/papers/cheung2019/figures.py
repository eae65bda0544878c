"""Figures 2 and 3 of cheung2019, drawn from the CSV logs."""

from collections.abc import Sequence
from typing import Any

from replications.experiment.loggers import Curve
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.cheung2019.training import BACKWARD, BOTH, STANDARD
from replications.reporting.figures import Line, draw

PANELS = {"forward": "forward network", "reverse": "reverse network"}


def draw_figures(session: Session, runs: Sequence[Run]) -> None:
    """Draw the figures of the chosen experiments for each pairing."""
    curves = session.curves(runs)
    for pairing in session.settings.pairings:
        if "fig2" in session.experiments:
            _fig2(session, curves, pairing)
        if "fig3" in session.experiments:
            _fig3(session, curves, pairing)


def names(pairing: str) -> dict[str, str]:
    """The three lines of both figures."""
    return {
        "standard": STANDARD,
        "coupled backward": f"{BACKWARD}-{pairing}",
        "coupled backward and forward": f"{BOTH}-{pairing}",
    }


def _fig2(session: Session, curves: dict[str, list[Curve]], pairing: str) -> None:
    panels: dict[str, dict[str, Line]] = {
        title: {
            label: [curve[f"test/{net}_accuracy_at"] for curve in curves[name]]
            for label, name in names(pairing).items()
        }
        for net, title in PANELS.items()
    }
    _draw(session, "fig2", pairing, panels, ylabel="test accuracy (%)", top=100)


def _fig3(session: Session, curves: dict[str, list[Curve]], pairing: str) -> None:
    layers = sorted(name for name in curves[STANDARD][0] if name.startswith(f"cosine/{pairing}/"))
    panels: dict[str, dict[str, Line]] = {
        f"layer {name.rsplit('/', 1)[1]}": {
            label: [curve[name] for curve in curves[run]] for label, run in names(pairing).items()
        }
        for name in layers
    }
    _draw(session, "fig3", pairing, panels, ylabel="cosine of $W$ and $B$", bottom=None)


def _draw(session: Session, figure: str, pairing: str, panels: dict[str, dict[str, Line]], **axes: Any) -> None:
    title = f"{session.title}, {pairing} pairing"
    draw(session, f"{figure}-{pairing}", panels, title=title, xscale="linear", markers=False, **axes)
