"""When a rule works and when it does not: what was measured here, and what papers say of larger networks.

Numbers that this repository measures stand in the generated parts of the pages, and not here.
"""

from __future__ import annotations

WHEN: dict[str, tuple[str, str]] = {
    "bp": (
        "On every network. It is the control: what a rule loses is its distance to this row.",
        "Where the backward pass cannot read the forward weights, as in many optical and neuromorphic chips.",
    ),
    "fa": (
        "Dense networks of a few layers: the weights turn until the feedback carries useful errors.",
        "Deep convolutional networks: on ImageNet it stays far behind backpropagation (Bartunov et al. 2018, arXiv 1807.04587).",
    ),
    "usf": (
        "Deep convolutional networks too, ResNets on ImageNet among them (Xiao et al. 2018, arXiv 1811.03567).",
        "Where even the signs of the forward weights cannot be read.",
    ),
    "brsf": (
        "As `usf`, with batch normalisation (Liao et al. 2016, arXiv 1510.05067).",
        "Where noise in every step hurts: the magnitudes are drawn anew for each batch.",
    ),
    "frsf": (
        "As `usf`, if the magnitudes of the feedback are of the weights' order.",
        "Where even the signs of the forward weights cannot be read.",
    ),
    "kp": (
        "Deep networks, since the feedback becomes the weights; an optimizer must hold the feedback, with weight decay.",
        "Without weight decay W and B keep their first difference. Adam rescales the two gradients apart.",
    ),
    "wm": (
        "Deep networks, ImageNet among them (Akrout et al. 2019, arXiv 1904.05391).",
        "Where weights move faster than the mirror follows: raise its rate or lower the weights' one.",
    ),
    "pbp": (
        "Small dense networks whose layers do not widen upwards, as those of the paper.",
        "Wide or ill-conditioned layers: the pseudoinverse has small weights' reciprocals, and costs an SVD per layer and step.",
    ),
    "fa_sparse": (
        "Where a chip has no room for dense feedback; dense networks of a few layers.",
        "As `fa`. It also removes forward weights when it is attached; that is the paper's variant.",
    ),
    "dfa": (
        "Dense networks, transformers by block, graphs (Launay et al. 2020, arXiv 2006.12878). The order of the layers does not "
        "matter, so that they can learn side by side.",
        "Convolutions align badly or not at all ([DFA in practice](../dfa_in_practice.md)); narrow layers; many outputs.",
    ),
    "lafs": (
        "Classification and regression with a target per output, at the memory of one block.",
        "Feedback that is too large: with B within ±1 the paper's network is at chance ([measured](../papers/gilmer2017.md)). "
        "Targets that no readout can be scored by.",
    ),
    "solo": (
        "Language models whose blocks are as wide as the head reads, in a few large modules (Yin et al. 2026, arXiv 2609.35440): "
        "every block is an early exit through the head's own readout.",
        "The paper finds no gain over private readouts in image classification. Where the head's weight cannot be read by the "
        "blocks, as in stages of a pipeline; heads that are no linear layer.",
    ),
    "dfa_sign": (
        "Where the channel for the error has one bit per component. The rate must be tuned: every step has full size.",
        "Where errors shrink at the end of training: their signs do not, and the weights keep moving.",
    ),
    "dfa_sparse": (
        "Where each unit has room for a few wires only (Crafton et al. 2019, arXiv 1903.02083).",
        "Few outputs: a unit may hear none that matters.",
    ),
    "dfa_lowrank": (
        "Many outputs, whose error has few directions that matter.",
        "A rank below the number of directions that the error needs: alignment is lost by layer.",
    ),
    "dkp": (
        "As `dfa`, and better aligned, since its feedback learns; an optimizer must hold the feedback, with weight decay.",
        "Feedback at backpropagation's rate can grow without bound where there is no weight decay.",
    ),
    "ebd": (
        "To study the rule of Erdogan, Pehlevan & Erdogan 2025 (arXiv 2504.11558). With the paper's forgetting factor the rule behaves "
        "as `dfa`.",
        "A forgetting factor well below 1: the running correlation opposes what the head learns, and replaces the first R.",
    ),
    "ifa": (
        "Dense networks, strided convolutions: only the first hidden layer is wired to the output.",
        "Pooling between blocks, blocks that are called several times: the error must travel forward through every block.",
    ),
    "kickback": (
        "One output, or outputs whose errors do not cancel, with non-negative weights to the output (Balduzzi et al. 2015).",
        "Softmax: its error sums to zero over the outputs, and what every unit receives is nothing. That is refused.",
    ),
    "shallow": (
        "As the baseline: it shows what random features and a trained head reach.",
        "It teaches no hidden layer.",
    ),
    "drtp": (
        "Small classifiers on a chip: no error, no backward pass, the memory of one block (Frenkel et al. 2021, arXiv "
        "1909.01311).",
        "Where accuracy counts: targets say in which direction to go and never when to stop. Deep networks, regression.",
    ),
    "local": (
        "Classification by convolutional networks, close to backpropagation (Nokland & Eidnes 2019, arXiv 1901.06656), at the "
        "memory of one block.",
        "Targets that are no classes, since its similarity needs classes. It has parameters and operations of its own.",
    ),
    "sg": (
        "Long runs: the predictors must learn before the layers do. Blocks need not wait for those above.",
        "Short runs and high rates. A predictor after every layer costs more than backpropagation.",
    ),
    "sgprop": (
        "Where the predictors' loss shall shape the layers below it (Czarnecki et al. 2017).",
        "Memory: it holds the graphs of all blocks, about three times backpropagation's.",
    ),
    "bidirectional": (
        "Two networks of mirrored shape, such as a classifier and a generator, which are each other's feedback.",
        "Networks that are no chains of layers with mirrored shapes.",
    ),
}
"""Rule -> (when it works, when it does not)."""
