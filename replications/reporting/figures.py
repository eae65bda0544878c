"""Figures of a replication, drawn by `lightning_fa.figures` and saved in the session's folder."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lightning_fa.figures import panels, save
from replications.experiment.session import Session

Line = Sequence[Mapping[int, float]]  # {step: value} of each seed


def draw(
    session: Session, name: str, lines: Mapping[str, Mapping[str, Line]], *, title: str | None = None, **axes: Any
) -> None:
    """Draw and save `lines`, given as {title of panel: {label: line}}. `axes` go to `lightning_fa.figures.panels`."""
    keep(session, name, panels(lines, title=title or session.title, **axes))


def keep(session: Session, name: str, figure: Figure, *, image: bool = False) -> None:
    """Save a figure in the session's folder. An `image` gets no SVG, because SVG would only embed the same pixels."""
    save(figure, session.out / "figures" / name, svg=not image)
