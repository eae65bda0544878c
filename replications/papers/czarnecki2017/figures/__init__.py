"""The paper's figures, drawn from the logs of the runs."""

from collections.abc import Callable, Sequence

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.figures import convergence, curves, layers, maps, surface

DRAWN: dict[str, Callable[[Session, Sequence[Run]], None]] = {
    "fig2": maps.fig2,
    "fig9": maps.fig9,
    "fig3": layers.fig3,
    "fig4": curves.fig4,
    "fig5": layers.fig5,
    "fig6": surface.fig6,
    "fig7": layers.fig7,
    "fig8": layers.fig8,
    "prop2": convergence.prop2,
    "table2": convergence.table2,
    "thm1": convergence.thm1,
}


CAPTIONS = {
    "fig2": "The true loss over the plane, and the losses that the synthetic gradients of every second layer imply, early and "
    "at the end; each map has its own scale, since an implied loss is known up to a constant.",
    "fig2-correlation": "Correlation of implied and true loss over the points of the plane, per layer. The paper: reasonably "
    "good for most of the training, better in layers closer to the loss.",
    "fig3": "Dissimilarity of the samples' representations, per layer; blocks on the diagonal are classes. The paper: layers "
    "below the SG develop another style of representation.",
    "fig3-likeness": "Correlation of each layer's dissimilarities with those of the last layer. The paper: under backprop "
    "nearly 1 after 9 of 20 layers.",
    "fig4-relu": "Training loss over steps, one SG in the middle against backprop, for every depth. The paper: SG converges "
    "well, and faster in the deeper networks.",
    "fig4-sigmoid": "The same with sigmoid units.",
    "fig5": "Norms of the matrices between hidden layers. The paper: rising under backprop, falling with an SG after every "
    "layer.",
    "fig6-bp": "Loss of two numbers, and the paths of backprop from four starts: a ring marks the start, a dot the end.",
    "fig6-sg": "The same under an SG of one number: three of the paths do not move. The paper: it has critical points that "
    "the loss has not.",
    "fig6-sg-says": "What that SG has learnt to say at every point of the plane; it is 0 in a whole cone.",
    "fig7": "Dissimilarities as in figure 3, with DFA. The paper: DFA solves the problem bottom-up.",
    "fig8-left": "Training accuracy of a ridge probe at every layer, beside a network of which no weight is trained.",
    "fig8-right": "Error of a linear regression from every layer back to the input. The paper: DFA transforms early on.",
    "fig9-activations": "Figure 2 with an SG that sees activations and no labels.",
    "fig9-activations-correlation": "The correlation of figure 2 for that SG.",
    "fig9-labels": "Figure 2 with an SG that sees labels and no activations.",
    "fig9-labels-correlation": "The correlation of figure 2 for that SG.",
    "prop2": "Loss above the global optimum of a deep linear network that moves only while the SG tracks the gradient.",
    "table2-2": "Log loss of a linear model in 2 dimensions over steps, by SG and by backprop, on three kinds of labels.",
    "table2-100": "The same in 100 dimensions.",
    "thm1": "Theorem 1: distance of the weights from least squares, and of the SG from the gradient; the control is an SG that "
    "does not learn.",
}


def draw_figures(session: Session, runs: Sequence[Run]) -> None:
    """All figures of the experiments that were chosen."""
    for experiment in session.experiments:
        if experiment in DRAWN:
            DRAWN[experiment](session, runs)
