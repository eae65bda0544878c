"""Lillicrap, Cownden, Tweed, Akerman 2014: fixed random feedback weights support learning.

Paper
    "Random feedback weights support learning in deep neural networks", arXiv 1411.0247. Feedback alignment hands the
    hidden layer B e in place of W^T e, where B is random and fixed, and W comes to meet B.

Claims
    Feedback alignment learns a linear function as fast as backpropagation (figure 1d) while the angle of B e to W^T e
    falls from 90 degrees (1e); it learns MNIST as well, even with half of all weights removed (2a, 2b); a deeper student
    of a nonlinear teacher is better (2d); where it may fail in three neurons (3); it resembles pseudobackpropagation W^+ e
    more than backpropagation (4), which is Gauss-Newton (proof 2); the error goes to 0 (theorem 1); for a single pair B e
    is parallel to W^+ e (theorem 2). See CLAIMS for how each one is judged.

Set-up
    Task 1: 30-20-10 linear units, T ~ U(-1, 1), x ~ N(0, 1), one example per step, W, A ~ U(-0.01, 0.01),
    B ~ U(-0.5, 0.5), the same task and examples for all algorithms: Methods. Learning rates were tuned by hand and are
    not printed: 0.005, 0.008 and 3 (shallow) are a pilot's (evidence.json), 0.002 and noise 0.01 (node perturbation) were
    chosen on seeds that no result uses. 2000 examples: read off the figure. Figure 4: learning rate 1e-3 and the nine omega:
    Methods; 20 000 examples: the axis of the figure ends at 2, in no unit.
    Task 2: 784-1000-10 logistic units with biases, learning rate 1e-3, weight decay 1e-6, 20 runs with new B: Methods.
    omega = 0.1, beta = 0.5, batches of 100 with summed gradients, 125 epochs = 7.5 million examples: ours.
    Task 3: teacher 30-20-10-10, students 30-20-10 and 30-20-10-10, tanh, linear outputs, 5000 test points, 20 runs:
    Methods. The regime of the teacher is not given: U(-1, 1) without biases, students U(-0.01, 0.01) with biases,
    B ~ U(-0.2, 0.2), learning rate 1e-3 and 1.5 million examples are a third party's that found the paper's order.
    Figure 3: B = T = 1; theorems: W = A = 0 at the start; 30-20-10 and B ~ U(-0.5, 0.5) are ours.

Differences
    We draw task, examples and weights anew for every seed of task 1, whereas the paper shows one. Node perturbation has
    noise at the hidden units only and one W by the delta rule, whereas the paper does not say. Angles are signed, whereas
    the paper prints the arc cosine of an absolute value, which cannot exceed 90 degrees. The error is divided by the mean
    of |y*|^2, and averaged over 10 examples; the paper does not say by what. On MNIST the error at the outputs is y* - y
    without their derivative, "the same as in the linear case", since with it 2.4 % is out of reach; angles are taken at
    the outputs of hidden units, without their derivative. The shallow student has its own learning rate, 0.03. Proof 3 of
    the paper has |B y|^2 where 1/|B y|^2 should stand; see single_pair.py. Theorem 1 is integrated (Runge-Kutta), not
    trained.

Found
    In the controls of theorem 1 V = |B E|^2 goes to 0 as well while E does not: V sees only what B lets through, which is
    what B^+ B = I is needed for. The claim about the angle at an error of 1e-10 first failed as undefined, with 10 000
    examples: 7 of 20 seeds had not come that far. The bound is unchanged; the runs were made as long as the figure's axis.
    MNIST at full length, two seeds: 1.9 % for backpropagation and 2.0 % for feedback alignment (paper: 2.4 and 2.1), 8.4 %
    where only the last layer learns. With half of W and of B removed the error is 2.40 % (one seed; paper: 2.4), 0.44 points
    above the full network's. At first that run had removed half of the input weights too, which the paper does not: it
    ended at 2.78 %, and the claim on the distance failed by it (evidence.json, sparse-input-weights). One claim fails.
    The angle in the first epoch is 65 degrees, where 74 to 90 are accepted. The
    bound stems from a pilot with the derivative of the outputs, which damps the error and slows learning down; without it the
    angle has fallen to 65 degrees on average within that epoch, and the claims about later epochs hold.
    The learning rate of the shallow student of figure 2d was 1.0 at first, with which its error does not settle: after
    300 000 examples it is between 1.1 and 2.1 (seeds 0 to 4), where 1 is that of a student that answers 0. Now it is 0.03,
    the best of 5 after 100 000 examples that is still without noise, on seeds 100 to 104; it was changed before any result
    was committed. The baseline gained by it, so that the claim about it became harder; its bound is unchanged.
    Figure 2d: after 1.5 million examples feedback alignment is better with 4 layers than with 3 in 19 of 20 seeds, by 0.17
    decades on average (p = 2e-6), less than half of the paper's 0.38, and it still falls. Backpropagation with 4 layers, which
    is the teacher's own shape, goes on to 1e-9, whereas the paper's stays at 1e-3: the regime of the teacher is not that of
    the paper. The verdict on that claim was "failed" at first, since the program asked of each seed what the t test, as
    documented and as in the paper, asks of the mean; the program was wrong, and neither bound nor test were changed.

Cost
    Everything but MNIST: about 12 minutes of one CPU core for 20 seeds, vectorised over seeds. MNIST: about 10 minutes of
    one core per run, 80 runs for 20 seeds. More seeds of MNIST, into the same folder:
    `python -m replications lillicrap2014/fig2a,fig2b,figS1 --preset full --seeds 20 --out DIR`. quick: 2 seeds, 15
    epochs, 60 000 examples of task 3, about 9 minutes of one core. smoke: seconds.
"""

from collections.abc import Mapping

from replications.experiment.session import Session
from replications.papers.lillicrap2014.claims import CLAIMS as CLAIMS
from replications.papers.lillicrap2014.figures import draw_figures
from replications.papers.lillicrap2014.settings import PRESETS as PRESETS
from replications.papers.lillicrap2014.settings import SEEDS as SEEDS
from replications.papers.lillicrap2014.training import plan, train_all

TITLE = "Lillicrap et al. 2014, Random feedback weights support learning in deep neural networks"
EXPERIMENTS: Mapping[str, str] = {
    "fig1d": "learning a linear function: backpropagation, feedback alignment, shallow, node perturbation",
    "fig1e": "the angle of feedback alignment to backpropagation on the way",
    "fig2a": "test error on MNIST, also with half of the weights removed",
    "fig2b": "the angle on MNIST",
    "fig2d": "3- and 4-layer students of a nonlinear teacher",
    "fig3": "flow field of three neurons",
    "fig4": "initial weights of different sizes: angles to backpropagation and to pseudobackpropagation",
    "thm1": "theorem 1: the error goes to 0; with rank-deficient controls",
    "thm2": "theorem 2: for a single pair feedback alignment is parallel to pseudobackpropagation",
    "pbp": "proof 2: pseudobackpropagation is Gauss-Newton",
    "figS1": "receptive fields of hidden units on MNIST (image only)",
}
DATASETS = ("mnist", "digits")


def run(session: Session) -> None:
    """Train what the chosen experiments need, then draw their figures."""
    groups, trainings = plan(session)
    train_all(session, groups, trainings)
    draw_figures(session, groups, trainings)
