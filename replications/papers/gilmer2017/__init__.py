"""Gilmer, Raffel, Schoenholz, Raghu, Sohl-Dickstein 2017: direct feedback alignment is a noisy layer-wise readout.

Paper
    "Explaining the Learning Dynamics of Direct Feedback Alignment", ICLR 2017 workshop. The paper compares two rules. DFA
    sends layer i the signal B^i e^y. Linear Aligned Feedback Systems (LAFS) send layer i the signal B^i e^i, where
    e^i = softmax((B^i)^T h^i) - y is the error of a readout through the same fixed random matrix.

Claims
    The unused B^i of DFA work as readouts. The errors e^i and e^y stay aligned throughout training. DFA behaves like a noisy
    version of LAFS. With small weights e^i is nearly e^y at the start. CLAIMS says how each claim is judged.

Set-up
    From section 4: 3 hidden layers of 800 tanh units, softmax, MNIST, learning rate 0.1, measured on training data.
    The paper does not give the rest, which is ours: plain SGD, batches of 128, 10 epochs, pixels divided by 255, W uniform
    in +-1/sqrt(fan in), PyTorch's default, and b = 0. B is uniform in +-1/sqrt(800), the rule of Nokland 2016's official
    code. We measure after 0, 1, 3, 10, 30, ... steps and at the end, on 5000 fixed training samples.

Finding
    Two errors softmax - y of one sample are never more than 60 degrees apart, with or without training (proof in
    `lightning_fa.metrics.output_error`). The null of "well aligned" is therefore not 90 degrees. The null is the angle
    through a fresh B of the same size. This angle depends on the size of the logits, and is about 31 degrees for B within
    +-1/sqrt(800). Every run measures the null at every measured step, and figure 1 (left) shows it. Before about step 100
    the angle of the true B in layer 1 is not smaller than that of a fresh B. In layers 2 and 3 it can be smaller
    earlier: in one run of DFA with preset smoke it was 0.4 and 1.6 degrees smaller at step 30, and 2.0 degrees larger in layer
    1. The results of preset quick contained angles above 60
    degrees, caused by rounding. The results of full have replaced them.

    With B within +-0.2 DFA classifies well too, but its first layer is not aligned: the layer's angle is 2.6 degrees above
    that of a fresh B, and its readout has an accuracy of 54.3 %. With B within +-1 the output of LAFS stays at chance
    (10.0 % test accuracy). The readouts of its three layers have 98.9, 48.8 and 10.0 %. The paper's statements therefore
    hold for the size of B that we took from Nokland's code, but not for every size.

Differences
    We read out h^i through (B^i)^T, whereas equation 6 of the paper says h^{i-1}. The sizes in equation 6 do not fit, and
    equation 9 and section 3 need h^i. We use the derivative of the hidden layer, whereas equations 3, 4 and 9 print that of
    the output. We compute the label's entry of an error as minus the sum of the other entries, because softmax - 1 rounds to
    0 for confident predictions. In float32 this rounding had turned angles of 24 degrees into 74. We also report numbers
    that the paper does not: the angle of the delivered signal to backpropagation's, the readout through fresh random
    matrices, and other sizes of B. The angle between e^i and e^y depends strongly on the size of B: a small B makes every
    readout nearly uniform, and the angle is then small without any learning.

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
    "fig1": "angles between e^i and e^y, accuracy of the readouts, DFA and LAFS (figure 1)",
    "b-scale": "the same angles with larger feedback matrices (ours)",
    "discussion": "one and three hidden layers trained by backpropagation, for comparison (open question in section 5)",
}
DATASETS = ("mnist", "digits")
run = planned(plan, train, draw_figures)
