"""When a rule works and when it does not, from measurements here and from papers on larger networks.

Numbers that this repository measures are in the generated parts of the pages, and not here.
"""

from __future__ import annotations

WHEN: dict[str, tuple[str, str]] = {
    "bp": (
        "On every network. Backpropagation is the control with which the other rules are compared.",
        "On hardware whose backward pass cannot read the forward weights, such as many optical and neuromorphic chips.",
    ),
    "fa": (
        "Dense networks of a few layers. The weights align with the feedback until the feedback carries useful errors.",
        "Deep convolutional networks. On ImageNet the rule is far behind backpropagation (Bartunov et al. 2018, arXiv "
        "1807.04587).",
    ),
    "usf": (
        "Also deep convolutional networks, including ResNets on ImageNet (Xiao et al. 2018, arXiv 1811.03567).",
        "On hardware that cannot read even the signs of the forward weights.",
    ),
    "brsf": (
        "The networks of `usf`, with batch normalisation (Liao et al. 2016, arXiv 1510.05067).",
        "Networks that noise in every step harms, because the magnitudes are drawn anew for each batch.",
    ),
    "frsf": (
        "The networks of `usf`, if the magnitudes of the feedback are similar to those of the weights.",
        "On hardware that cannot read even the signs of the forward weights.",
    ),
    "kp": (
        "Deep networks, because the feedback converges to the weights. An optimizer must hold the feedback, with weight decay.",
        "Without weight decay W and B keep their initial difference. Adam rescales the gradients of W and B differently.",
    ),
    "wm": (
        "Deep networks, also on ImageNet (Akrout et al. 2019, arXiv 1904.05391).",
        "Weights that change faster than the mirror can follow. Raise the mirror's rate or lower that of the weights.",
    ),
    "pbp": (
        "Small dense networks whose layers do not become wider towards the output, as in the paper.",
        "Wide or ill-conditioned layers. The pseudoinverse has the reciprocals of small singular values, and costs an SVD per "
        "layer and step.",
    ),
    "fa_sparse": (
        "Dense networks of a few layers, on chips without room for dense feedback.",
        "The networks on which `fa` does not work. Like the paper's variant, the rule also removes forward weights when it is "
        "attached.",
    ),
    "dfa": (
        "Dense networks, transformers by block, graphs (Launay et al. 2020, arXiv 2006.12878). No layer waits for the error of "
        "another layer, so that all layers can learn at the same time.",
        "Convolutions, which align badly or not at all ([DFA in practice](../dfa_in_practice.md)), narrow layers, and many "
        "outputs.",
    ),
    "lafs": (
        "Classification and regression with a target per output, at the memory of one block.",
        "Feedback that is too large: with B within ±1 the paper's network is at chance ([measured](../papers/gilmer2017.md)). "
        "Targets for which a readout has no loss.",
    ),
    "solo": (
        "Language models in a few large modules, whose blocks are as wide as the head's input (Yin et al. 2026, arXiv "
        "2609.35440). Every block is an early exit through the head's own readout.",
        "Image classification, in which the paper finds no gain over a readout per block. Networks whose blocks cannot read the "
        "head's weight, such as stages of a pipeline. Heads that are not a linear layer.",
    ),
    "dfa_sign": (
        "Channels for the error with one bit per component. The learning rate must be tuned, because every step has full size.",
        "The end of training, when errors become small. Their signs do not, so that the weights keep changing.",
    ),
    "dfa_sparse": (
        "Hardware with a few feedback connections per unit (Crafton et al. 2019, arXiv 1903.02083).",
        "Few outputs, because a unit may receive the error of no important output.",
    ),
    "dfa_lowrank": (
        "Many outputs, if their error has few important directions.",
        "A rank below the number of directions of the error. Alignment then becomes worse in each layer.",
    ),
    "dkp": (
        "The networks of `dfa`, with better alignment, because the feedback learns. An optimizer must hold the feedback, with "
        "weight decay.",
        "Without weight decay, feedback that learns at backpropagation's rate can grow without bound.",
    ),
    "ebd": (
        "To study the rule of Erdogan, Pehlevan & Erdogan 2025 (arXiv 2504.11558). With the paper's forgetting factor the "
        "rule behaves as `dfa`.",
        "A forgetting factor well below 1: the running correlation opposes what the head learns, and replaces the first R.",
    ),
    "ifa": (
        "Dense networks and strided convolutions. Only the first hidden layer needs a connection from the output.",
        "Pooling between blocks, and blocks that are called several times, because the error travels forward through all blocks.",
    ),
    "kickback": (
        "One output, or outputs whose errors do not cancel, with non-negative weights to the output (Balduzzi et al. 2015).",
        "Softmax with cross-entropy. Its error sums to zero over the outputs, so that every unit receives zero. The library "
        "refuses this loss.",
    ),
    "shallow": (
        "As a baseline, which shows the accuracy of random features with a trained head.",
        "No hidden layer learns.",
    ),
    "drtp": (
        "Small classifiers on a chip. The rule needs no error, no backward pass, and the memory of one block (Frenkel et al. "
        "2021, arXiv 1909.01311).",
        "Deep networks, regression, and tasks that need high accuracy. Targets give a direction, but do not become small as the "
        "network learns.",
    ),
    "local": (
        "Classification by convolutional networks, close to backpropagation (Nokland & Eidnes 2019, arXiv 1901.06656), at the "
        "memory of one block.",
        "Targets that are not classes, because the rule's similarity loss needs classes. The rule adds parameters and "
        "operations.",
    ),
    "sg": (
        "Long runs, because the predictors must learn before the layers can. Blocks do not wait for the blocks above.",
        "Short runs and high learning rates. A predictor after every layer costs more than backpropagation.",
    ),
    "sgprop": (
        "Networks in which the predictors' loss shall also train the layers below (Czarnecki et al. 2017).",
        "Little memory. The rule holds the graphs of all blocks, about three times backpropagation's.",
    ),
    "bidirectional": (
        "Two networks of mirrored shape, such as a classifier and a generator, which are each other's feedback.",
        "Networks that are not chains of layers with mirrored shapes.",
    ),
}
"""{rule: (when it works, when it does not)}."""
