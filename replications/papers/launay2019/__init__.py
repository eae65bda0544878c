"""Launay, Poli, Krzakala 2019: how to train with direct feedback alignment, judged by alignment angles.

Paper
    "Principled Training of Neural Networks with Direct Feedback Alignment", arXiv 1906.04554. Direct feedback alignment
    sends every layer B e, a fixed random projection of the output error. The cosine between B e and backpropagation's signal
    tells whether a layer learns anything useful. We had the abstract and the authors' code, but not the tables.

Claims
    Best practices can be justified by alignment angles. A narrow layer ("bottleneck") does not align. The authors suppose that
    feedback alignment has not scaled to large convolutional networks for this reason. These claims are from the abstract. The
    numbers of `repo` are from the authors' log. Claims about the best practice are from memory or from the code, and are only
    reported. The numbers of fc-tanh are only reported too, because neither the abstract nor the logs have them. CLAIMS says
    how each claim is judged.

Set-up
    From the authors' code: CIFAR-10, normalised per colour, no augmentation, batches of 128 without the last incomplete
    batch, 50 epochs, SGD with learning rate 5e-4 and no momentum, cross-entropy, PyTorch's initialisation, 10 seeds. The
    networks are 3072-800-800-800-10, or three convolutions of 5 x 5 (32, 64, 64 channels), each followed by max pooling of 3
    with stride 2, then 576-128-10, with tanh units. Dropout is before the activation, and batch norm is after it. All layers
    share one N(0, 1) feedback matrix, and each layer uses its first rows, scaled to a Frobenius norm of 1 (`nonorm`: not
    scaled). The error of hidden layers is not divided by the batch size.

    The rest is ours. The learning rate of backpropagation is the best of five by the accuracy on 5000 held-out training
    samples after 5 epochs. The recipes use Adam, batch norm, and for each rule the best of tanh and ReLU and of four learning
    rates, found in the same way by eight short runs. In the control `frozen` the convolutions keep their initial weights, and
    direct feedback alignment trains the layers after them. VGG-11 is the version for 32 x 32 pixels, with one linear layer.

Differences
    We measure cosines in training mode for both signals, whereas the authors' code has dropout and batch norm in evaluation
    mode for one signal and in training mode for the other. Cosines are measured on the first 128 test samples, after every
    epoch, at the output of activation, batch norm and pooling, where the feedback enters.

    `bottleneck` has three variants. In `narrow` the second hidden layer has only the given number of units, as the abstract
    says. In `mask` the layer has 800 units, and only a random fraction of the entries of its gradients is kept. `repo` does
    what the authors' code does. The code does not find its own masked layer and therefore puts no feedback before it. The
    first two layers are then one block, and the error that crosses the second layer is masked too: the masks of this error
    and of the bias are drawn once for every place in a batch and every unit. In the code the masks of the two compared
    networks differ, so that the cosine of the first layer has no meaning. Our masks are the same, and we do not judge that
    cosine.

    `pre-alignment` starts from weights W^T = D delta^+ of unit norm on the first batch. We take both errors under the rule,
    whereas we do not know which network's errors the code takes. The authors' log of this experiment is of their `repo`
    blocks. With `--dataset digits` scikit-learn's digits are enlarged to 32 x 32 pixels.

Found
    fc-tanh at full length (two seeds) ends with 45.9 % test accuracy, 87.6 % training accuracy, and cosines of 0.80, 0.88 and
    0.63 from the lowest layer to the highest. The cosines rise first in the lowest layer.

    All nine fully connected configurations are at full length, of which the following are of one seed. Test accuracy in
    %, and training accuracy in brackets: 49.8 (78.4) with little dropout, 48.0 (57.5) with much dropout, 45.5 (97.8)
    with batch norm after tanh, 43.2 (96.9) with feedback that is not scaled, 39.8 (42.8) with leaky ReLU of slope 0.1,
    39.5 (41.8) with slope 0.01, 32.0 (33.6) with ReLU, 30.0 (31.6) with slope 0.5. With dropout the gap between
    training and test accuracy is smaller, and the cosines are near those of fc-tanh. The last hidden layer of ReLU and
    of leaky ReLU has a cosine between -0.01 and 0.08. Their tuned baselines of backpropagation were not run at this
    length.

    All 14 sizes of the authors' own blocks (`repo`) are at full length, one seed. They are the authors' log to within 1.3
    points of test and 1.2 of training accuracy and 0.02 of the cosine of the second layer, at the eight sizes of which
    evidence.json has the log. Size 1 has 41.0 % test accuracy, 41.7 % training accuracy and a cosine of 0.06 (log: 40.5,
    41.2, 0.07), size 46 has 45.4, 49.9 and 0.62 (45.6, 49.4, 0.62), size 118 has 48.3, 59.3 and 0.77 (47.9, 58.5, 0.76),
    and size 800 has 46.4, 99.6 and 0.91 (47.1, 99.5, 0.89). Cosine and training accuracy rise with every size. Test
    accuracy is highest at size 191 (48.7 %), and falls where the network fits its training samples. The masks of the error
    and of the bias must have an entry for every place in the batch, as the authors' hook draws them. With one entry for
    every unit, as in our first version, size 46 had 45.7 % and 54.2 %, and a cosine of 0.41.

    The bottleneck (quick, 5 epochs, seed 0) arises where few weights learn, and not where a layer is narrow. With the
    authors' mask the cosine of the second layer falls with the fraction of weights that learn, from 0.50 to 0.00 in their
    own blocks (`repo`) and from 0.44 to 0.02 with feedback at every layer (`mask`). Only in their blocks does the mask cost
    accuracy (44 to 31 %, otherwise 43 to 41 %), because there the layer below receives the error through the masked layer. In
    a layer that is literally narrow (`narrow`) the cosine rises: 0.43 with 800 units, 0.71 with 18, and 0.81 with one. The
    error of one unit has one dimension, and hence a sign but no angle. The layers next to a narrow layer lose their alignment
    (width 1: cosines of 0.16 below and 0.01 above, 16 % test accuracy).

    In the convolutional network the cosine rises from the input to the output: after 15 epochs (`reduced`, one seed) 0.01,
    0.08 and 0.42 in the convolutions and 0.45 in the layer behind them. Test accuracy is 55.5 %, 15 points behind tuned
    backpropagation (70.6 %). After one epoch (`quick`) no layer aligns (0.01 on average), and the network is 36 points
    behind. The two lower convolutions do not align in 15 epochs, the third does. At equal effort (10 000 samples, 2
    epochs) direct feedback alignment reaches 45.3 % in the convolutional network and 46.6 % with frozen convolutions, so that
    training the convolutions gains nothing. In VGG-11 the frozen network trains only the head (24.7 %). Direct feedback
    alignment gains 12 points there, in the upper layers, whose cosines are 0.3 to 0.4. Sign symmetry equals backpropagation
    in VGG-11 and is 3 points behind in the convolutional network. In `quick` the best learning rate of backpropagation is
    mostly the largest of the three, so that a larger rate might be better still.

    The settings of the code do not fit ReLU and leaky ReLU. Nothing bounds the activations, and the step of hidden layers is
    128 times that of the head. After 300 steps the means of |h| are 2.7, 12 and 50 from the lowest layer, whereas tanh has
    0.7, 0.6 and 0.6, and the loss is in the hundreds. With a fifth of the rate (1e-4) the loss stays near 2.3, and the means
    are 1.3, 1.7 and 2.6. These configurations therefore show that tanh tolerates a large step. They do not show that ReLU
    cannot be trained.

Cost
    full: 10 seeds, for each about 3200 epochs of the fully connected network (12 s of one CPU core each), 1000 of the
    convolutional network (90 s) and 450 of VGG-11 (estimated 300 s), that is 70 hours of one core; a GPU is needed.
    `alignment` alone is 10 minutes of one core per seed. reduced: 15 epochs, one seed, VGG-11 with a quarter of its channels;
    `conv` alone is about 50 minutes of one core. quick: 3 epochs (convolutional: 1, bottleneck: 5), recipes with
    10 000 samples and VGG-11 with a quarter of its channels, about 40 minutes of one core. smoke: seconds.
    For all of it: `python -m replications launay2019 --preset full --out DIR`. The same command continues after an
    interruption. Several calls with one DIR share the configurations.
"""

from collections.abc import Mapping

from replications.experiment.session import Session
from replications.papers.launay2019.claims import CLAIMS as CLAIMS
from replications.papers.launay2019.figures import draw_figures
from replications.papers.launay2019.page import render
from replications.papers.launay2019.plan import fixed, tuned
from replications.papers.launay2019.settings import PRESETS as PRESETS
from replications.papers.launay2019.settings import SEEDS as SEEDS
from replications.papers.launay2019.training import train

TITLE = "Launay et al. 2019, Principled Training of Neural Networks with Direct Feedback Alignment"
EXPERIMENTS: Mapping[str, str] = {
    "alignment": "the configuration fc-tanh at full length: cosines per layer over epochs",
    "best-practices": "14 configurations, compared with tuned backpropagation",
    "bottleneck": "a narrow second layer in three variants: accuracy and cosine over its width",
    "pre-alignment": "fc-tanh with weights that agree with the feedback before training (the authors' code)",
    "conv": "the configuration conv-tanh: convolutions compared with the layer after them",
    "recipes": "convolutional nets under five rules at equal tuning effort (ours)",
}
DATASETS = ("cifar10", "digits")
PAGES = {"docs/dfa_in_practice.md": render}


def run(session: Session) -> None:
    """Train the runs with fixed settings and the short runs for tuning, then the tuned runs, then draw the figures."""
    to_tune = tuned(session)
    short = [candidate for tune in to_tune if len(tune.candidates) > 1 for candidate in tune.candidates]
    session.loop.finish([*fixed(session), *short], lambda run: train(session, run))
    known = {(r["name"], r["seed"]): r["metrics"].get("held-out/accuracy") for r in session.loop.records}
    chosen = []
    for tune in to_tune:
        seed = tune.run.seed
        accuracies = {c.name: known[c.name, seed] or -1.0 for c in tune.candidates if (c.name, seed) in known}
        chosen.append(tune.chosen(accuracies))
    session.loop.finish(chosen, lambda run: train(session, run))
    draw_figures(session)
