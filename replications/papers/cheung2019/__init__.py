"""Cheung and Jiang 2019: two networks that are each other's feedback.

Paper
    "The many directions of feedback alignment", CCN 2019. The feedback weights B of a network trained by feedback
    alignment are the forward weights of a second network, which learns another task at the same time.

Claims
    Both networks learn at the rate of uncoupled feedback alignment (figure 2). The weights of the two become alike:
    not without coupling, more if the first uses the second as feedback (coupled backward, eqs. 5 to 7), most if the second
    uses the first as well (backward and forward, eq. 8), and more in earlier layers (figure 3). See CLAIMS.

Set-up
    Two networks of 5 fully connected layers with 1024 hidden units, CIFAR-10 for one and MNIST for the other, trained
    simultaneously, pre-activations centred over features, hidden layers coupled: Experiments. The paper says nothing else.
    Ours: 5 layers are 5 weight matrices, of which the 3 square ones are coupled; tanh, softmax, no biases, W, B and C
    uniform within 1/sqrt(fan in), SGD with learning rate 0.05 and batches of 128, CIFAR-10 standardised per input, MNIST
    divided by 255, 50 epochs. It is the setting of a pilot in which figure 3's rise was visible within 2000 steps.

Differences
    The equations pair layer l with layer l (`same`); the diagram and the title suggest the transposed layer L + 1 - l
    (`reversed`). We train both pairings. Of cosines we judge the change since the start, in every layer, and the statement
    about earlier layers at the length of the paper alone. Under coupled backward feedback the reverse network is bitwise
    that of the standard run, so that nothing is claimed of it. An epoch is one of MNIST, and CIFAR-10 begins again.
    With `--dataset digits` both networks learn scikit-learn's digits, the second with its labels turned round.

Found
    3000 steps, 3 seeds: all coupled networks learn at the rate of the uncoupled one (within 0.9 points and 7 % of the steps),
    and their cosines rise at every measurement, most with both couplings. Every layer passes the mark of 5 / 1024 that
    2000 steps of one seed had missed in layer 2. The change is not larger in earlier layers throughout: with the `same`
    pairing layer 3 changes more than layer 2, by 0.0009 under coupled backward feedback and by 0.005 with both couplings,
    and both intervals exclude 0. That statement is judged at the length of the paper alone.

Cost
    About 0.14 s per step on an idle CPU core. quick: 15 runs of 3000 steps, about 2 hours of one core.
    full: 15 runs of 50 epochs, 23 450 steps each, about 14 hours of one core, minutes on a GPU. smoke: seconds.
    For both pairings over 50 epochs: `python -m replications cheung2019 --preset full --out DIR`.
"""

from collections.abc import Mapping

from replications.experiment.session import Session
from replications.papers.cheung2019.claims import CLAIMS as CLAIMS
from replications.papers.cheung2019.figures import draw_figures
from replications.papers.cheung2019.settings import PRESETS as PRESETS
from replications.papers.cheung2019.settings import SEEDS as SEEDS
from replications.papers.cheung2019.training import STANDARD, plan, train

TITLE = "Cheung and Jiang 2019, The many directions of feedback alignment"
EXPERIMENTS: Mapping[str, str] = {
    "fig2": "test accuracy of two networks that are each other's feedback",
    "fig3": "cosine of the weights of the two networks",
}
DATASETS = ("cifar10", "digits")
BESIDE = {"cifar10": ("mnist",)}


def run(session: Session) -> None:
    """Train all runs, since both figures show the same ones, then draw the figures."""
    runs = plan(session)
    for wanted in (True, False):  # to the standard runs all others are compared when they end
        chosen = [run for run in runs if (run.name == STANDARD) is wanted]
        session.loop.finish(chosen, lambda run: train(session, run))
    draw_figures(session, runs)
