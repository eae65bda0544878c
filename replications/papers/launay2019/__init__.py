"""Launay, Poli, Krzakala 2019: how to train with direct feedback alignment, judged by alignment angles.

Paper
    "Principled Training of Neural Networks with Direct Feedback Alignment", arXiv 1906.04554. Direct feedback alignment
    hands every layer B e, a fixed random projection of the output error; the cosine of B e to backpropagation's signal
    tells whether a layer learns anything of use. We had its abstract and the authors' code, not its tables.

Claims
    Best practices can be justified by alignment angles. A narrow layer ("bottleneck") does not align, and harms. Direct
    feedback alignment fails in convolutional networks for that reason: the abstract. Which practice is best is from
    memory or from the code, and only reported. See CLAIMS for how each one is judged.

Set-up
    CIFAR-10, normalised per colour, no augmentation, batches of 128 without the last incomplete one, 50 epochs, SGD with
    learning rate 5e-4 and no momentum, cross-entropy, PyTorch's initialisation, 10 seeds; 3072-800-800-800-10, or three
    convolutions of 5 x 5 (32, 64, 64 channels) each followed by max pooling of 3 with stride 2, then 576-128-10; tanh.
    Dropout before the activation, batch norm behind it. One N(0, 1) feedback matrix shared by all layers, of which each
    uses its first rows, scaled to a Frobenius norm of 1 (`nonorm`: not scaled), and for hidden layers an error that is
    not divided by the batch size: all of the authors' code.
    Ours: the learning rate of backpropagation is the best of five by the accuracy on 5000 held-out training samples
    after 5 epochs. Recipes: Adam, batch norm, and for each rule the best of tanh and ReLU and of four learning rates in
    the same way, that is eight short runs per rule, the same for all. `frozen` is the control in which convolutions stay
    as drawn and direct feedback alignment trains what stands behind them. VGG-11 is that of 32 x 32 pixels, with one
    linear layer.

Differences
    We measure cosines in training mode for both signals, whereas the authors' code has dropout and batch norm in
    evaluation mode for one and in training mode for the other. Cosines are on the first 128 test samples, after every
    epoch, behind activation, batch norm and pooling, where the feedback enters.
    `bottleneck` comes in three variants. `narrow`: the second hidden layer has so many units, as the abstract says.
    `mask`: it has 800, of whose gradients only a random fraction is kept. `repo`: what the authors' code does, which does
    not find its own masked layer and so puts no feedback before it: the first two layers are one block, and the error
    that crosses the second is masked as well. In the code the masks of the two compared networks differ, which makes the
    cosine of the first layer meaningless; ours are the same, and that cosine is not judged.
    `pre-alignment` starts from weights W^T = D delta^+ of unit norm on the first batch, with both errors taken under the
    rule, whereas which network's the code takes is not known to us; the authors' log of it is of their `repo` blocks.
    With `--dataset digits` scikit-learn's digits are enlarged to 32 x 32 pixels.

Found
    fc-tanh at full length (two seeds) ends at 45.9 % of test and 87.6 % of training samples with cosines of 0.80, 0.88 and 0.63
    from below, which develop from the bottom up.
    The bottleneck (quick, 5 epochs, seed 0) is one of what learns, and not of what is narrow. With the authors' mask the
    cosine of the second layer falls with the share that may learn, from 0.48 to 0.006 in their own blocks and from 0.43 to
    0.03 with feedback at every layer, and only in their blocks, where the layer below hears of the error through the masked
    one, does it cost accuracy (44 to 31 %; otherwise 43 to 41 %). In a layer that is literally narrow the cosine rises: 0.43
    with 800 units, 0.71 with 18, and 0.81 with one, whose error has one dimension and hence no angle but a sign. It is the
    layers around a narrow one that lose theirs (width 1: 0.16 below, 0.01 above, 16 % of test samples).
    Convolutions do not align (quick, 1 epoch: means of 0.01, where fully connected layers have 0.14 to 0.53 after 3), and cost
    36 points behind tuned backpropagation. At equal effort (10 000 samples, 2 epochs) direct feedback alignment of the
    convolutional net reaches 45.3 %, less than behind convolutions that stay as drawn (46.6 %): training them gains nothing.
    In VGG-11, where a frozen net leaves the head alone (24.7 %), it gains 12 points, in the upper layers, whose cosines are
    0.3 to 0.4. Sign symmetry is where backpropagation is, or 3 points behind.
    In `quick` the best learning rate of backpropagation is mostly the largest of its three: it might do better still.
    With ReLU and its leaky kin the settings of the code do not hold: nothing bounds activations, the step of hidden layers is
    128 times that of the head, and after 300 steps the means of |h| are 2.7, 12 and 50 from below, where tanh has 0.7, 0.6 and
    0.6, and the loss is in the hundreds. With a fifth of the rate (1e-4) it stays near 2.3, the means at 1.3, 1.7 and 2.6. So
    that configuration says that tanh stands a large step, not that ReLU cannot be trained.

Cost
    full: 10 seeds, for each about 3200 epochs of the fully connected network (12 s of one CPU core each), 1000 of the
    convolutional one (90 s) and 450 of VGG-11 (estimated 300 s), that is 70 hours of one core; a GPU is needed.
    `alignment` alone is 10 minutes of one core per seed. quick: 3 epochs (convolutional: 1, bottleneck: 5), recipes with
    10 000 samples and VGG-11 with a quarter of its channels, about 40 minutes of one core. smoke: seconds.
    For all of it: `python -m replications launay2019 --preset full --out DIR`, which goes on where it was cut, and started
    several times with one DIR shares the configurations between the calls.
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
    "best-practices": "14 configurations beside tuned backpropagation",
    "bottleneck": "a narrow second layer in three variants: accuracy and cosine over its width",
    "pre-alignment": "fc-tanh with weights that agree with the feedback before training (the authors' code)",
    "conv": "the configuration conv-tanh: convolutions against the layer behind them",
    "recipes": "convolutional nets under five rules at equal tuning effort (ours)",
}
DATASETS = ("cifar10", "digits")
PAGES = {"docs/dfa_in_practice.md": render}


def run(session: Session) -> None:
    """Train what the settings give, then what is tuned, first its short runs; then draw the figures."""
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
