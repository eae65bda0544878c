"""The numbers of table 1 of meulemans2021 after every epoch, drawn from the CSV logs."""

from collections.abc import Sequence

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.meulemans2021.claims import WORDS
from replications.reporting.figures import draw

LABELS = {"bp": "BP", "dfa": "DFA", "shallow": "last layer only"}


def draw_figures(session: Session, runs: Sequence[Run]) -> None:
    """Draw a figure for each chosen experiment."""
    curves = session.curves(runs)
    for task in session.experiments:
        lines = {
            label: [dict(enumerate(curve["test/loss"].values(), start=1)) for curve in curves[f"{task}-{rule}"]]
            for rule, label in LABELS.items()
            if f"{task}-{rule}" in curves
        }
        draw(session, task, {task: lines}, ylabel=WORDS[task], xlabel="epoch", yscale="log", bottom=None, markers=False)
