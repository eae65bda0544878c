"""Figures of a replication, all drawn by `lightning_fa.figures`: where they go, and what they are called."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from lightning_fa.figures import panels, save
from replications.experiment.session import Session

Line = Sequence[Mapping[int, float]]  # {step: value} of each seed


def draw(
    session: Session, name: str, lines: Mapping[str, Mapping[str, Line]], *, title: str | None = None, **axes: Any
) -> None:
    """{title of panel: {label: line}}; `axes` are those of `lightning_fa.figures.panels`."""
    keep(session, name, panels(lines, title=title or session.title, **axes))


def keep(session: Session, name: str, figure: Figure, *, image: bool = False) -> None:
    """Write a figure among those of the session; of an `image` there is no SVG, which would hold it no better."""
    save(figure, session.out / "figures" / name, svg=not image)
