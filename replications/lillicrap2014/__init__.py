"""Stub."""

from replications.lillicrap2014.claims import CLAIMS as CLAIMS
from replications.lillicrap2014.figures import draw_figures
from replications.lillicrap2014.runs import plan, train_all
from replications.lillicrap2014.settings import PRESETS as PRESETS
from replications.lillicrap2014.settings import SEEDS as SEEDS
from replications.session import Session

TITLE = "Lillicrap et al. 2014, Random feedback weights support learning in deep neural networks"
EXPERIMENTS = {
    "fig1d": "learning a linear function: backpropagation, feedback alignment, shallow, node perturbation",
    "fig1e": "angle of feedback alignment to backpropagation on the way",
    "fig2a": "test error on MNIST, also with half of the weights removed",
    "fig2b": "the angle on MNIST",
    "fig2d": "3- and 4-layer students of a nonlinear teacher",
    "fig3": "flow field of three neurons",
    "fig4": "initial weights of different sizes: angles to backpropagation and to pseudobackpropagation",
    "thm1": "theorem 1: the error goes to 0; with rank-deficient controls",
    "thm2": "theorem 2: for a single pair, feedback alignment is parallel to pseudobackpropagation",
    "pbp": "proof 2: pseudobackpropagation is Gauss-Newton",
    "figS1": "receptive fields of hidden units on MNIST (image only)",
}
DATASETS = ("mnist", "digits")


def run(session: Session) -> None:
    """Train what the chosen experiments need, then draw their figures."""
    groups, trainings = plan(session)
    train_all(session, groups, trainings)
    draw_figures(session, groups, trainings)
