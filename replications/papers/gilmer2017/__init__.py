"""Gilmer, Raffel, Schoenholz, Raghu, Sohl-Dickstein 2017: direct feedback alignment is a noisy layer-wise readout.

Paper
    "Explaining the Learning Dynamics of Direct Feedback Alignment", ICLR 2017 workshop. It compares DFA, which hands
    layer i the signal B^i e^y, with Linear Aligned Feedback Systems (LAFS), which hands it B^i e^i, where
    e^i = softmax((B^i)^T h^i) - y is the error of a readout through the same fixed random matrix.

Claims
    The unused B^i of DFA work as readouts; e^i and e^y stay aligned throughout training; DFA behaves like a noisy
    version of LAFS; with small weights e^i is nearly e^y at the start. See CLAIMS for how each one is judged.

Set-up
    3 hidden layers of 800 tanh units, softmax, MNIST, learning rate 0.1, measured on training data: section 4.
    The paper does not say the following, so they are ours. Plain SGD, batches of 128, 10 epochs, pixels divided by 255.
    W uniform in +-1/sqrt(fan in), PyTorch's default; b = 0. B uniform in +-1/sqrt(800), the rule of Nokland 2016's
    official code. Measurements after 0, 1, 3, 10, 30, ... steps and at the end, on 5000 fixed training samples.

Finding
    Two errors softmax - y of one sample are never more than 60 degrees apart, trained or not: see
    `lightning_fa.metrics.output_error` for the proof. What "well aligned" is to be compared with is therefore not 90
    degrees but the angle through a fresh B of the same size, which depends on the size of the logits, and is about 31
    degrees for B within +-1/sqrt(800). It is measured at every measured step of every run, and drawn into figure 1
    (left). Before about step 100 the true B has no smaller an angle than a fresh one. The results of preset quick, in
    which angles above 60 degrees had come of rounding, gave way to those of full.
    With B within +-0.2 DFA classifies as well, but its first layer is not aligned at all: its angle is 3 degrees above that
    of a fresh B, and its readout at 56 %. With B within +-1 LAFS stays at chance. So what the paper says holds of the size
    of B that we took from elsewhere, and not of any.

Differences
    We read out h^i through (B^i)^T, whereas equation 6 of the paper says h^{i-1}: its sizes do not fit, and its
    equation 9 and section 3 need h^i. We use the derivative of the hidden layer where equations 3, 4 and 9 print
    that of the output. The label's entry of an error is computed as minus the sum of the others: softmax - 1 rounds to
    0 where the network is sure, which turned angles of 24 degrees into 74 in float32. We also report what the paper
    does not: the angle of the delivered signal to backpropagation's, the readout through fresh random matrices, and
    other sizes of B, since the angle between e^i and e^y depends strongly on the size of B: a small B makes every
    readout nearly uniform and the angle small for no merit.

Cost
    full: 40 runs, about 40 minutes on two CPU cores. quick: 8 runs, about 6 minutes; with other sizes of B only 1000
    steps. smoke: about 10 seconds.
"""

from collections.abc import Mapping

from replications.experiment.session import planned
from replications.papers.gilmer2017.claims import CLAIMS as CLAIMS
from replications.papers.gilmer2017.figures import draw_figures
from replications.papers.gilmer2017.settings import PRESETS as PRESETS
from replications.papers.gilmer2017.settings import SEEDS as SEEDS
from replications.papers.gilmer2017.training import plan, train

TITLE = "Gilmer et al. 2017, Explaining the Learning Dynamics of Direct Feedback Alignment"
EXPERIMENTS: Mapping[str, str] = {
    "fig1": "angles between e^i and e^y, accuracy of the readouts, DFA beside LAFS (figure 1)",
    "b-scale": "the same angles with larger feedback matrices (ours)",
    "discussion": "one and three hidden layers trained by backpropagation, to compare with (open question in section 5)",
}
DATASETS = ("mnist", "digits")
run = planned(plan, train, draw_figures)
