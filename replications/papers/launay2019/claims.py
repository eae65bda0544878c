"""The claims of launay2019, fixed before the runs that judge them.

We had the paper's abstract, and its code with two logs (`bottleneck`, one seed). Only what the abstract or the logs say is
judged. Statements from memory, and numbers of our own alone, are reported and not judged.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from replications.judging.claims import Claim, NotRunError
from replications.judging.measured import Measure, Runs, minus, of
from replications.judging.statistics import spearman
from replications.papers.launay2019.configurations import CHANGES, baseline
from replications.papers.launay2019.plan import (
    CONVOLUTIONAL,
    LONGEST,
    PRE_ALIGNED,
    RECIPE_RULES,
    VARIANTS,
    bottleneck_name,
)
from replications.papers.launay2019.settings import PAPER
from replications.papers.launay2019.titles import TITLES, second

CIFAR = ("cifar10",)
HIDDEN = (1, 2, 3)
CONVOLUTIONS, DENSE = (1, 2, 3), 4
MEMORY = "of the paper we had no text to check this"


def cosines(run: str, layers: Sequence[int], which: str = "cosine") -> Callable[[Runs], list[float]]:
    """One cosine per layer; all nan if any cosine is nan, because max and min may ignore nan."""

    def values(runs: Runs) -> list[float]:
        found = [of(run, f"{which}/{layer}")(runs) for layer in layers]
        return [math.nan] * len(found) if any(map(math.isnan, found)) else found

    return values


def mean_cosine(run: str, layers: Sequence[int]) -> Measure:
    """The mean cosine over layers."""
    return lambda runs: sum(cosines(run, layers)(runs)) / len(layers)


def behind_backprop(run: str) -> Measure:
    """Points of test accuracy by which a run is behind backpropagation in the same network."""
    control = f"bp-{baseline(run)}"
    return lambda runs: of(control, "test/accuracy")(runs) - of(run, "test/accuracy")(runs)


def rises(variant: str) -> Measure:
    """The rank correlation of the second layer's cosine with the size of the bottleneck, over all sizes that were run."""

    def measure(runs: Runs) -> float:
        line = [of(name, "cosine/" + second(variant))(runs) for name in _names(variant, runs)]
        if len(line) < 2:
            raise NotRunError(variant)
        return spearman(line)

    return measure


def _names(variant: str, runs: Runs) -> list[str]:
    return [name for size in PAPER.sizes if (name := bottleneck_name(variant, size)) in runs]


def _drop(runs: Runs, variant: str) -> float:
    """The second layer's cosine without a bottleneck minus its largest cosine over the sizes up to 5."""
    narrow = [name for size in PAPER.sizes if size <= 5 and (name := bottleneck_name(variant, size)) in runs]
    worst = [of(name, "cosine/" + second(variant))(runs) for name in narrow]
    wide = of(bottleneck_name(variant, PAPER.sizes[-1]), "cosine/" + second(variant))(runs)
    if not worst:
        raise NotRunError(variant)
    return wide - max(worst)


alignment = partial(Claim, experiment="alignment", datasets=CIFAR)
practice = partial(Claim, experiment="best-practices", expected=MEMORY, datasets=CIFAR)
bottleneck = partial(
    Claim,
    experiment="bottleneck",
    source="the authors' log, one seed; evidence: bottleneck-log",
    datasets=CIFAR,
)
conv = partial(
    Claim,
    experiment="conv",
    expected='the bottleneck "may explain why feedback alignment methods have yet to scale to large convolutional networks": '
    "abstract",
    judged_from="reduced",  # after one epoch an untrained network would pass too
    datasets=CIFAR,
)
recipes = partial(Claim, experiment="recipes", datasets=CIFAR)
pre_alignment = partial(
    Claim,
    experiment="pre-alignment",
    source="the authors' log, one seed, of `repo` blocks",
    datasets=CIFAR,
)


# fmt: off
def _alignment() -> list[Claim]:
    def claim(name: str, statement: str, measure: Measure, **more: Any) -> Claim:
        return alignment(f"{LONGEST}-{name}", f"{LONGEST}: {statement}", measure, **more)

    def bottom_up(runs: Runs) -> float:
        h1, h2, h3 = cosines(LONGEST, HIDDEN, "early_cosine")(runs)
        return min(h1 - h2, h2 - h3)

    return [
        claim("accuracy", "test accuracy (%)", of(LONGEST, "test/accuracy")),
        claim("final-cosines", "cosine at the end, worst layer", lambda runs: min(cosines(LONGEST, HIDDEN)(runs))),
        claim("later-cosines", "least cosine after 10 epochs or more, worst layer",
            lambda runs: min(cosines(LONGEST, HIDDEN, "least_later_cosine")(runs))),
        claim("bottom-up", "after 5 epochs, cosine of a layer above that of the next, smallest gap", bottom_up),
    ]


def _practices() -> list[Claim]:
    claims = [
        practice("backprop-is-backprop", "cosine of backpropagation to itself, worst layer (control)",
            lambda runs: min(cosines("bp-fc-tanh", HIDDEN)(runs)), expected="1 by definition",
            tolerance=(1 - 1e-5, 1 + 1e-5), source="ours; evidence: itself", over_seeds="every", judged_from="smoke",
            datasets=("cifar10", "digits"))
    ]
    for name in CHANGES:
        claims.append(
            practice(f"{name}-behind", f"{name}: points behind tuned backpropagation", behind_backprop(name))
        )
    for other, statement in (
        ("fc-relu", "tanh above ReLU"),
        ("fc-nonorm", "unit-norm feedback above feedback without normalisation"),
        ("fc-bn", "without above with batch norm"),
        ("fc-drop-low", "without above with little dropout"),
        ("fc-drop-high", "without above with much dropout"),
    ):
        claims += [
            practice(f"{other}-cosine", f"{statement}: difference of the mean cosine",
                minus(mean_cosine(LONGEST, HIDDEN), mean_cosine(other, HIDDEN))),
            practice(f"{other}-accuracy", f"{statement}: difference of test accuracy (points)",
                minus(of(LONGEST, "test/accuracy"), of(other, "test/accuracy"))),
        ]
    return claims


def _bottleneck() -> list[Claim]:
    def repo(name: str, statement: str, measure: Measure, **more: Any) -> Claim:
        return bottleneck(f"repo-{name}", f"repo: {statement}", measure, judged_from="full", **more)

    def cosine(size: int) -> Measure:
        return of(bottleneck_name("repo", size), "cosine/" + second("repo"))

    claims = [
        bottleneck(f"{variant}-rises", f"{variant}: rank correlation of the second layer's cosine with its width",
            rises(variant), expected="rises with every size (the authors' code, of which `repo` is the copy)",
            tolerance=(0.95, 1) if variant == "repo" else None)
        for variant in VARIANTS
    ]
    claims += [
        bottleneck(f"{variant}-drop",
            f"{variant}: cosine of the second layer with 800 units above that with 5 or fewer, smallest difference",
            lambda runs, variant=variant: _drop(runs, variant),
            expected='"a bottleneck effect that prevents alignment in narrow layers": abstract',
            tolerance=(0.3, 1), source="abstract; evidence: bottleneck-log", judged_from="full")
        for variant in ("narrow", "mask")
    ]
    return [
        *claims,
        repo("cosine-1", "cosine of the second layer, size 1", cosine(1), expected="0.07", tolerance=(-0.05, 0.2)),
        repo("cosine-46", "the same, size 46", cosine(46), expected="0.62", tolerance=(0.5, 0.75)),
        repo("cosine-800", "the same, size 800", cosine(800), expected="0.89", tolerance=(0.8, 0.98)),
        repo("test-1", "test accuracy, size 1 (%)", of("repo-1", "test/accuracy"), expected="40.5", tolerance=(37, 44)),
        repo("test-118", "test accuracy, size 118 (%)", of("repo-118", "test/accuracy"), expected="47.9",
            tolerance=(45, 50)),
        repo("train-800", "training accuracy, size 800 (%)", of("repo-800", "train/accuracy"), expected="99.5",
            tolerance=(95, 100)),
    ]


def _conv() -> list[Claim]:
    convolutions, dense = mean_cosine(CONVOLUTIONAL, CONVOLUTIONS), mean_cosine(CONVOLUTIONAL, (DENSE,))
    name, evidence = CONVOLUTIONAL, "abstract; evidence: convolutions"
    return [
        conv(f"{name}-cosine", f"{name}: mean cosine of the convolutions", convolutions,
            source="abstract; an untrained network has 0"),
        conv(f"{name}-dense-above", f"{name}: cosine of the layer behind them above that mean",
            minus(dense, convolutions), tolerance=(0.05, 1), source=evidence),
        conv(f"{name}-far-behind", f"{name}: points of test accuracy behind tuned backpropagation",
            behind_backprop(name), tolerance=(5, 40), source=evidence),
    ]


def _recipes() -> list[Claim]:
    return [
        recipes(f"{net}-{rule}", f"{net}, {TITLES[rule]}: test accuracy at equal tuning effort (%)",
            of(f"{net}-{rule}", "test/accuracy"))
        for net in PAPER.recipes
        for rule in RECIPE_RULES
    ]


def _pre_alignment() -> list[Claim]:
    name, accuracy = PRE_ALIGNED, of(PRE_ALIGNED, "test/accuracy")
    return [
        pre_alignment(f"{name}-cosine", "pre-aligned weights: cosine at the end, worst layer",
            lambda runs: min(cosines(name, HIDDEN)(runs)), expected="0.96"),
        pre_alignment(f"{name}-accuracy", "pre-aligned weights: test accuracy (%)", accuracy, expected="46.5"),
        pre_alignment(f"{name}-gain", "pre-aligned weights: test accuracy above that without (points)",
            minus(accuracy, of(LONGEST, "test/accuracy")), expected="-0.6"),
    ]


# fmt: on
CLAIMS = (*_alignment(), *_practices(), *_pre_alignment(), *_bottleneck(), *_conv(), *_recipes())
