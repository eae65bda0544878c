"""Lillicrap, Cownden, Tweed, Akerman 2014: fixed random feedback weights support learning.

Paper
    "Random feedback weights support learning in deep neural networks", arXiv 1411.0247. Feedback alignment sends B e to the
    hidden layer in place of W^T e. B is random and fixed. During training W changes so that W^T e and B e align.

Claims
    Feedback alignment learns a linear function as fast as backpropagation (figure 1d), while the angle of B e to W^T e
    falls from 90 degrees (1e). Feedback alignment also learns MNIST, even with half of the weights removed (2a, 2b). A
    deeper student learns a nonlinear teacher better (2d). With three neurons, feedback alignment may fail from some initial
    weights (3). B e resembles pseudobackpropagation W^+ e more than backpropagation (4), and pseudobackpropagation is
    Gauss-Newton (proof 2). The error goes to 0 (theorem 1). For a single pair B e is parallel to W^+ e (theorem 2). CLAIMS
    says how each claim is judged.

Set-up
    Task 1, from Methods: 30-20-10 linear units, T ~ U(-1, 1), x ~ N(0, 1), one example per step, W, A ~ U(-0.01, 0.01),
    B ~ U(-0.5, 0.5), the same task and examples for all algorithms. The paper tuned the learning rates by hand and does not
    print them. 0.005, 0.008 and 3 (shallow) are from a pilot (evidence.json). 0.002 and noise 0.01 (node perturbation) were
    chosen on seeds that no result uses. The 2000 examples are read off the figure. Figure 4 has learning rate 1e-3 and the
    nine omega from Methods. Its 20 000 examples follow the axis of the figure, which ends at 2 and has no unit.

    Task 2, from Methods: 784-1000-10 logistic units with biases, learning rate 1e-3, weight decay 1e-6, 20 runs with new B.
    omega = 0.1, beta = 0.5, batches of 100 with summed gradients, and 125 epochs = 7.5 million examples are ours.

    Task 3, from Methods: teacher 30-20-10-10, students 30-20-10 and 30-20-10-10, tanh, linear outputs, 5000 test points, 20
    runs. The paper does not give the weights of the teacher. We take the values of a third party that found the paper's
    order: teacher U(-1, 1) without biases, students U(-0.01, 0.01) with biases, B ~ U(-0.2, 0.2), learning rate 1e-3 and 1.5
    million examples.

    Figure 3 has B = T = 1. The theorems start from W = A = 0. Their sizes 30-20-10 and B ~ U(-0.5, 0.5) are ours.

Differences
    We draw task, examples and weights anew for every seed of task 1, whereas the paper shows one. Node perturbation has
    noise at the hidden units only, and the delta rule trains W, whereas the paper does not say. Angles are signed, whereas
    the paper prints the arc cosine of an absolute value, which cannot exceed 90 degrees. We divide the error by the mean of
    |y*|^2 and average it over 10 examples, whereas the paper does not give its normalisation. On MNIST we take the error at
    the outputs as y* - y without their derivative, "the same as in the linear case", because 2.4 % is out of reach with the
    derivative. Angles are taken at the outputs of hidden units, without their derivative. The shallow student has its own
    learning rate, 0.03. Proof 3 of the paper has |B y|^2 in place of 1/|B y|^2 (see single_pair.py). We integrate theorem 1
    (Runge-Kutta) and do not train it.

Found
    Figure 1d: the rates 0.005 of backpropagation and 0.008 of feedback alignment were chosen so that the values read off the
    figure are met. They were not tuned for speed. Other rates were measured afterwards, on the same seeds 0 to 19. At 0.009
    backpropagation has an error of 10^-3.10 after 500 examples and of 10^-17.0 at the end. Feedback alignment at 0.01, its best
    rate, has 10^-3.80 and 10^-13.05. Against backpropagation at 0.009 feedback alignment (0.008) is ahead after 500 examples
    in a fraction of 0.85 [0.68, 1.02] of the seeds, so that the claim would be undecided, and at the end in none. "As fast as
    backpropagation" therefore holds early only.

    In the controls of theorem 1 V = |B E|^2 goes to 0, but E does not. V contains only the part of E that B passes on. This
    is why the theorem assumes B^+ B = I.

    The claim about the angle at an error of 1e-10 first failed as undefined. The runs then had 10 000 examples, and 7 of 20
    seeds had not reached this error. We made the runs as long as the figure's axis. The bound is unchanged.

    MNIST at full length, five seeds: the error is 1.9 % for backpropagation and 2.0 % for feedback alignment (paper: 2.4 and
    2.1), and 8.5 % if only the last layer learns. With half of W and of B removed the error is 2.34 % (paper: 2.4), 0.35
    points above the full network's. Feedback alignment is worse than backpropagation in each of the five seeds, by 0.134
    [0.038, 0.230] points, whereas it is better in the paper (2.1 and 2.4). The claim `mnist-fa-bp` is about the distance alone
    and holds nevertheless. Our first run had removed half of the input weights too, unlike the paper. That run
    ended at 2.78 %, so that the claim on the distance failed (evidence.json, sparse-input-weights). Figures 2a and 2b draw
    seeds 2 to 4, whose logs are kept; the claims are of all five.

    One claim fails: the angle in the first epoch is 65 degrees, and 74 to 90 are accepted. The bound is from a pilot with
    the derivative of the outputs, which makes the error smaller and learning slower. Without the derivative the angle falls
    faster, so that its mean in the first epoch is 65 degrees. The claims about later epochs hold.

    The learning rate of the shallow student of figure 2d was 1.0 at first. With this rate the error does not settle: after
    300 000 examples it is between 1.1 and 2.1 (seeds 0 to 4), and a student that always answers 0 has an error of 1. The
    rate is now 0.03, the best of the 5 rates whose error is not noisy after 100 000 examples, on seeds 100 to 104. We
    changed the rate before any result was committed. The change made the baseline better and the claim about it harder. The
    bound of the claim is unchanged.

    Figure 2d: after 1.5 million examples feedback alignment is better with 4 layers than with 3 in 19 of 20 seeds, by 0.17
    decades on average (p = 2e-6). This is less than half of the paper's 0.38 decades, and our error still falls.
    Backpropagation with 4 layers, the teacher's own shape, reaches 2e-9, whereas the paper's stays at 1e-3. Our teacher
    therefore differs from the paper's. `student-fa4-bp4` is contrary to the paper so far: feedback alignment with 4 layers is
    the best in the paper, and 7.8 decades behind backpropagation with 4 layers here. The errors of feedback alignment are about
    100 times the paper's (3 layers: 0.19 and 2.1e-3, 4 layers: 0.13 and 8.8e-4). The shallow student has 3.1 times the error of
    feedback alignment in 3 layers, whereas the paper's has 62 times. Its bound, 2.5 times, is from one seed of a third party,
    not from the paper. The verdict on the claim about feedback alignment was "failed" at first, because the
    program tested each seed. The documented t test, which is also the paper's, tests the mean. The program was wrong. Bound
    and test are unchanged.

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
    "fig1e": "the angle of feedback alignment to backpropagation during training",
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
    """Train the runs that the chosen experiments need, then draw their figures."""
    groups, trainings = plan(session)
    train_all(session, groups, trainings)
    draw_figures(session, groups, trainings)
