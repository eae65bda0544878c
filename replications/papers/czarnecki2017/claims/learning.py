"""Claims about figure 4 and footnote 5: networks with a synthetic gradient learn."""

from collections.abc import Callable
from functools import partial

from replications.judging.claims import Claim, Metrics, NotRunError
from replications.judging.measured import Measure, Runs, defined
from replications.papers.czarnecki2017.claims.common import pictured

ACTIVATIONS = ("relu", "sigmoid")
FASTER = {
    "relu": '"SG-based models actually seem to converge faster (compare for example 20- or 50 layer deep relu network)"',
    "sigmoid": '"SG-based models actually seem to converge faster", with examples of relu alone',
}
WELL = {
    "relu": '"SG-based architectures converge well even if there are many hidden layers"',
    "sigmoid": "the same of figure 4, whose second activation function the paper does not name",
}


def pairs(runs: Runs, activation: str) -> list[tuple[int, Metrics, Metrics]]:
    """(depth, metrics of backprop, metrics of one SG) for every trained depth, from the shallowest."""
    depths = sorted(int(name.rsplit("-", 1)[1]) for name in runs if name.startswith(f"bp-{activation}-"))
    if not depths:
        raise NotRunError(f"bp-{activation}")
    return [(d, runs[f"bp-{activation}-{d}"], runs[f"sg-mid-{activation}-{d}"]) for d in depths]


def _train_accuracy(activation: str) -> Measure:
    return lambda runs: min(defined([sg["train/accuracy"] for _, _, sg in pairs(runs, activation)]))


def _test_gap(activation: str) -> Measure:
    return lambda runs: min(
        defined([sg["test/accuracy"] - bp["test/accuracy"] for _, bp, sg in pairs(runs, activation)])
    )


def _deepest(activation: str, compare: Callable[[Metrics, Metrics], float]) -> Measure:
    """``compare(bp, sg)`` for the deepest network."""

    def measure(runs: Runs) -> float:
        _, bp, sg = pairs(runs, activation)[-1]
        return compare(bp, sg)

    return measure


def _speed(bp: Metrics, sg: Metrics) -> float:
    return sg["steps_to_0.02"] / bp["steps_to_0.02"]


def _ahead(bp: Metrics, sg: Metrics) -> float:
    return sg["train/accuracy"] - bp["train/accuracy"]


def _probe_gain(runs: Runs) -> float:
    """The gain of a probe at the layer below the SG module, over the control whose lower half is fixed (points)."""
    taught, untaught = pictured(runs, "sg-loss-alone"), pictured(runs, "lower-half-fixed")
    middle = sum(name.startswith("rsa/") for name in taught) // 2
    name = f"probe/layers.hidden{middle}/train_accuracy"
    return taught[name] - untaught[name]


fig4 = partial(Claim, experiment="fig4", source="figure 4")
footnote5 = partial(Claim, experiment="footnote5")
# fmt: off
LEARNING = (
    *(
        claim
        for act in ACTIVATIONS
        for claim in (
            fig4(f"fig4-{act}-train", f"{act}, one SG in the middle: final training accuracy, worst depth (%)",
                _train_accuracy(act),
                expected=WELL[act],
                tolerance=(99, 100), source="figure 4; evidence: depth-10"),
            fig4(f"fig4-{act}-test",
                f"{act}, one SG in the middle: test accuracy minus backprop's, near 0, least over depths (points)",
                _test_gap(act), expected="no number", tolerance=(-0.5, 2), source="figure 4; evidence: depth-10"),
            fig4(f"fig4-{act}-faster",
                f"{act}: steps to a training loss of 0.02, one SG over backprop, deepest network",
                _deepest(act, _speed),
                expected=FASTER[act]),
            fig4(f"fig4-{act}-ahead",
                f"{act}: final training accuracy, one SG above backprop, deepest network (points; post hoc)",
                _deepest(act, _ahead),
                expected=f"{FASTER[act]}; defined where neither reaches a loss of 0.02"),
        )
    ),
    footnote5("footnote5-test", "lower half trained by the gradient of the SG loss alone, at 3e-5: test accuracy (%)",
        lambda runs: pictured(runs, "sg-loss-alone")["test/accuracy"], expected="it also learns", tolerance=(95, 99.5),
        source="footnote 5; evidence: depth-10"),
    footnote5("footnote5-lower-half",
        "the same: probe at the last layer below the SG above that of a lower half left as it was (points)",
        _probe_gain, expected="control, not in the paper: the upper half alone could reach the accuracy",
        tolerance=(0.5, 60), source="ours; evidence: lower-half"),
    footnote5("footnote5-control", "lower half left as it was: test accuracy (%)",
        lambda runs: pictured(runs, "lower-half-fixed")["test/accuracy"], expected="control, not in the paper"),
)
