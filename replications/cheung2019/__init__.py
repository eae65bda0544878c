"""Stub."""

from replications.cheung2019.claims import CLAIMS as CLAIMS
from replications.cheung2019.figures import draw_figures
from replications.cheung2019.runs import plan, train
from replications.cheung2019.settings import PRESETS as PRESETS
from replications.cheung2019.settings import SEEDS as SEEDS
from replications.session import Session

TITLE = "Cheung and Jiang 2019, The many directions of feedback alignment"
EXPERIMENTS = {
    "fig2": "test accuracy of two networks that are each other's feedback",
    "fig3": "cosine of the weights of the two networks",
}
DATASETS = ("cifar10", "digits")


def run(session: Session) -> None:
    """Train all runs, since both figures show the same ones, then draw the figures."""
    runs = plan(session)
    session.finish(runs, lambda run: train(session, run))
    draw_figures(session, runs)
