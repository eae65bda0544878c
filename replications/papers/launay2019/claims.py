"""The claims of launay2019, fixed before the runs that judge them.

Of the paper we had the abstract and the code with two of its logs (`bottleneck`, one seed). Numbers are those logs' or a
pilot's (evidence.json); what rests on memory alone is reported and not judged.
"""

import math
from collections.abc import Callable, Sequence

from replications.judging.claims import Claim, NotRunError
from replications.judging.measured import Measure, Runs, of
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
    """One cosine per layer; only nan if one of them is, over which max and min would pass."""

    def values(runs: Runs) -> list[float]:
        found = [of(run, f"{which}/{layer}")(runs) for layer in layers]
        return [math.nan] * len(found) if any(map(math.isnan, found)) else found

    return values


def mean_cosine(run: str, layers: Sequence[int]) -> Measure:
    """Over layers."""
    return lambda runs: sum(cosines(run, layers)(runs)) / len(layers)


def behind_backprop(run: str) -> Measure:
    """Points of test accuracy by which a run is behind backpropagation in the same network."""
    control = f"bp-{baseline(run)}"
    return lambda runs: of(control, "test/accuracy")(runs) - of(run, "test/accuracy")(runs)


def rises(variant: str) -> Measure:
    """The rank correlation of the second layer's cosine with the size of the bottleneck, over all sizes there are."""

    def measure(runs: Runs) -> float:
        line = [of(name, "cosine/" + second(variant))(runs) for name in _names(variant, runs)]
        if not line:
            raise NotRunError(variant)
        return spearman(line) if len(line) > 1 else math.nan

    return measure


def _names(variant: str, runs: Runs) -> list[str]:
    return [name for size in PAPER.sizes if (name := bottleneck_name(variant, size)) in runs]


def _drop(runs: Runs, variant: str) -> float:
    """Of the cosine of the second layer, from no bottleneck to the worst of the sizes up to 5."""
    narrow = [name for size in PAPER.sizes if size <= 5 and (name := bottleneck_name(variant, size)) in runs]
    worst = [of(name, "cosine/" + second(variant))(runs) for name in narrow]
    wide = of(bottleneck_name(variant, PAPER.sizes[-1]), "cosine/" + second(variant))(runs)
    if not worst:
        raise NotRunError(variant)
    return wide - max(worst)


def _alignment() -> list[Claim]:
    pilot = "evidence: fc-tanh"

    def claim(name: str, statement: str, expected: str, bounds: tuple[float, float], measure: Measure) -> Claim:
        return Claim(
            f"{LONGEST}-{name}",
            "alignment",
            f"{LONGEST}: {statement}",
            expected,
            bounds,
            pilot,
            measure,
            judged_from="full",
            datasets=CIFAR,
        )

    def bottom_up(runs: Runs) -> float:
        h1, h2, h3 = cosines(LONGEST, HIDDEN, "early_cosine")(runs)
        return min(h1 - h2, h2 - h3)

    return [
        claim("accuracy", "test accuracy (%)", "46.5 (pilot)", (44, 50), of(LONGEST, "test/accuracy")),
        claim(
            "final-cosines",
            "cosine at the end, worst layer",
            "0.64 (pilot)",
            (0.5, 0.98),
            lambda runs: min(cosines(LONGEST, HIDDEN)(runs)),
        ),
        claim(
            "later-cosines",
            "least cosine after 10 epochs or more, worst layer",
            "above 0.15 (pilot)",
            (0.15, 0.98),
            lambda runs: min(cosines(LONGEST, HIDDEN, "least_later_cosine")(runs)),
        ),
        claim(
            "bottom-up",
            "after 5 epochs, cosine of a layer above that of the next, smallest gap",
            "0.2 (pilot)",
            (1e-3, 0.9),
            bottom_up,
        ),
    ]


def _practices() -> list[Claim]:
    claims = [
        Claim(
            "backprop-is-backprop",
            "best-practices",
            "cosine of backpropagation to itself, worst layer (control)",
            "1 by definition",
            (1 - 1e-5, 1 + 1e-5),
            "ours; evidence: itself",
            lambda runs: min(cosines("bp-fc-tanh", HIDDEN)(runs)),
            over_seeds="every",
            judged_from="smoke",
            datasets=("cifar10", "digits"),
        )
    ]
    for name in CHANGES:
        claims.append(
            _reported(f"{name}-behind", f"{name}: points behind tuned backpropagation", behind_backprop(name))
        )
    for other, statement in (
        ("fc-relu", "tanh above ReLU"),
        ("fc-nonorm", "unit-norm feedback above feedback without normalisation"),
        ("fc-bn", "without above with batch norm"),
        ("fc-drop-low", "without above with little dropout"),
        ("fc-drop-high", "without above with much dropout"),
    ):
        claims += [
            _reported(
                f"{other}-cosine",
                f"{statement}: difference of the mean cosine",
                _minus(mean_cosine(LONGEST, HIDDEN), mean_cosine(other, HIDDEN)),
            ),
            _reported(
                f"{other}-accuracy",
                f"{statement}: difference of test accuracy (points)",
                _minus(of(LONGEST, "test/accuracy"), of(other, "test/accuracy")),
            ),
        ]
    return claims


def _minus(larger: Measure, smaller: Measure) -> Measure:
    return lambda runs: larger(runs) - smaller(runs)


def _reported(name: str, statement: str, measure: Measure, experiment: str = "best-practices") -> Claim:
    expected = MEMORY if experiment == "best-practices" else "not in the paper"
    return Claim(name, experiment, statement, expected, None, "ours", measure, datasets=CIFAR)


def _bottleneck() -> list[Claim]:
    log = "the authors' log, one seed"

    def repo(name: str, statement: str, expected: str, bounds: tuple[float, float], measure: Measure) -> Claim:
        return Claim(
            f"repo-{name}",
            "bottleneck",
            f"repo: {statement}",
            expected,
            bounds,
            f"{log}; evidence: bottleneck-log",
            measure,
            judged_from="full",
            datasets=CIFAR,
        )

    def cosine(size: int) -> Measure:
        return of(bottleneck_name("repo", size), "cosine/" + second("repo"))

    claims = [
        Claim(
            f"{variant}-rises",
            "bottleneck",
            f"{variant}: rank correlation of the second layer's cosine with its width",
            "rises with every size (the authors' code, of which `repo` is the copy)",
            (0.95, 1) if variant == "repo" else None,
            f"{log}; evidence: bottleneck-log",
            rises(variant),
            datasets=CIFAR,
        )
        for variant in VARIANTS
    ]
    claims += [
        Claim(
            f"{variant}-drop",
            "bottleneck",
            f"{variant}: cosine of the second layer with 800 units above that with 5 or fewer, smallest difference",
            '"narrow layers" do not align: abstract',
            (0.3, 1),
            "abstract; evidence: bottleneck-log",
            lambda runs, variant=variant: _drop(runs, variant),
            judged_from="full",
            datasets=CIFAR,
        )
        for variant in ("narrow", "mask")
    ]
    return [
        *claims,
        repo("cosine-1", "cosine of the second layer, size 1", "0.07", (-0.05, 0.2), cosine(1)),
        repo("cosine-46", "the same, size 46", "0.62", (0.5, 0.75), cosine(46)),
        repo("cosine-800", "the same, size 800", "0.89", (0.8, 0.98), cosine(800)),
        repo("test-1", "test accuracy, size 1 (%)", "40.5", (37, 44), of("repo-1", "test/accuracy")),
        repo("test-118", "test accuracy, size 118 (%)", "47.9", (45, 50), of("repo-118", "test/accuracy")),
        repo("train-800", "training accuracy, size 800 (%)", "99.5", (95, 100), of("repo-800", "train/accuracy")),
    ]


def _conv() -> list[Claim]:
    hypothesis = '"direct feedback alignment fails in convolutional networks" for lack of alignment: abstract'

    def claim(name: str, statement: str, bounds: tuple[float, float] | None, source: str, measure: Measure) -> Claim:
        return Claim(
            f"{CONVOLUTIONAL}-{name}",
            "conv",
            f"{CONVOLUTIONAL}: {statement}",
            hypothesis,
            bounds,
            f"abstract; {source}",
            measure,
            judged_from="full",  # after one epoch an untrained network passes
            datasets=CIFAR,
        )

    convolutions, dense = mean_cosine(CONVOLUTIONAL, CONVOLUTIONS), mean_cosine(CONVOLUTIONAL, (DENSE,))
    return [
        claim("cosine", "mean cosine of the convolutions", None, "an untrained network has 0", convolutions),
        claim(
            "dense-above",
            "cosine of the layer behind them above that mean",
            (0.05, 1),
            "evidence: convolutions",
            _minus(dense, convolutions),
        ),
        claim(
            "far-behind",
            "points of test accuracy behind tuned backpropagation",
            (5, 40),
            "evidence: convolutions",
            behind_backprop(CONVOLUTIONAL),
        ),
    ]


def _recipes() -> list[Claim]:
    return [
        _reported(
            f"{net}-{rule}",
            f"{net}, {TITLES[rule]}: test accuracy at equal tuning effort (%)",
            of(f"{net}-{rule}", "test/accuracy"),
            "recipes",
        )
        for net in PAPER.recipes
        for rule in RECIPE_RULES
    ]


def _pre_alignment() -> list[Claim]:
    log = "the authors' log, one seed, of `repo` blocks"

    def claim(name: str, statement: str, expected: str, measure: Measure) -> Claim:
        return Claim(f"{PRE_ALIGNED}-{name}", "pre-alignment", statement, expected, None, log, measure, datasets=CIFAR)

    least = "pre-aligned weights: cosine at the end, worst layer"
    return [
        claim("cosine", least, "0.96", lambda runs: min(cosines(PRE_ALIGNED, HIDDEN)(runs))),
        claim("accuracy", "pre-aligned weights: test accuracy (%)", "46.5", of(PRE_ALIGNED, "test/accuracy")),
        claim(
            "gain",
            "pre-aligned weights: test accuracy above that without (points)",
            "-0.6",
            _minus(of(PRE_ALIGNED, "test/accuracy"), of(LONGEST, "test/accuracy")),
        ),
    ]


CLAIMS = (*_alignment(), *_practices(), *_pre_alignment(), *_bottleneck(), *_conv(), *_recipes())
