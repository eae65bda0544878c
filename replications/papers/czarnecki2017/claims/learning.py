"""Figure 4 and footnote 5: networks with a synthetic gradient learn."""

from collections.abc import Callable

from replications.judging.claims import Claim, Metrics, NotRunError
from replications.papers.czarnecki2017.claims.common import Measure, Runs, defined, pictured

ACTIVATIONS = ("relu", "sigmoid")


def pairs(runs: Runs, activation: str) -> list[tuple[int, Metrics, Metrics]]:
    """Depth, and the metrics of backprop and of one SG, for every depth that was trained, from the shallowest."""
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
    """``compare(bp, sg)`` of the deepest network."""

    def measure(runs: Runs) -> float:
        _, bp, sg = pairs(runs, activation)[-1]
        return compare(bp, sg)

    return measure


def _speed(bp: Metrics, sg: Metrics) -> float:
    return sg["steps_to_0.02"] / bp["steps_to_0.02"]


def _ahead(bp: Metrics, sg: Metrics) -> float:
    return sg["train/accuracy"] - bp["train/accuracy"]


def _probe_gain(runs: Runs) -> float:
    """At the layer below the SG module."""
    taught, untaught = pictured(runs, "sg-loss-alone"), pictured(runs, "lower-half-fixed")
    middle = sum(name.startswith("rsa/") for name in taught) // 2
    name = f"probe/layers.hidden{middle}/train_accuracy"
    return taught[name] - untaught[name]


LEARNING = (
    *(
        claim
        for act in ACTIVATIONS
        for claim in (
            Claim(
                f"fig4-{act}-train",
                "fig4",
                f"{act}, one SG in the middle: final training accuracy, worst depth (%)",
                '"SG-based architectures converge well even if there are many hidden layers"',
                (99, 100),
                "figure 4; evidence: depth-10",
                _train_accuracy(act),
            ),
            Claim(
                f"fig4-{act}-test",
                "fig4",
                f"{act}, one SG in the middle: test accuracy above backprop's, worst depth (points)",
                "no number",
                (-0.5, 2),
                "figure 4; evidence: depth-10",
                _test_gap(act),
            ),
            Claim(
                f"fig4-{act}-faster",
                "fig4",
                f"{act}: steps to a training loss of 0.02, one SG over backprop, deepest network",
                '"SG-based models actually seem to converge faster" (20 and 50 layers)',
                None,
                "figure 4",
                _deepest(act, _speed),
            ),
            Claim(
                f"fig4-{act}-ahead",
                "fig4",
                f"{act}: final training accuracy, one SG above backprop, deepest network (points; post hoc)",
                '"SG-based models actually seem to converge faster"; defined where neither reaches a loss of 0.02',
                None,
                "figure 4",
                _deepest(act, _ahead),
            ),
        )
    ),
    Claim(
        "footnote5-test",
        "footnote5",
        "lower half trained by the gradient of the SG loss alone, at 3e-5: test accuracy (%)",
        "it also learns",
        (95, 99.5),
        "footnote 5; evidence: depth-10",
        lambda runs: pictured(runs, "sg-loss-alone")["test/accuracy"],
    ),
    Claim(
        "footnote5-lower-half",
        "footnote5",
        "the same: probe at the last layer below the SG above that of a lower half left as it was (points)",
        "control, not in the paper: the upper half alone could reach the accuracy",
        (0.5, 60),
        "ours; evidence: lower-half",
        _probe_gain,
    ),
    Claim(
        "footnote5-control",
        "footnote5",
        "lower half left as it was: test accuracy (%)",
        "control, not in the paper",
        None,
        "ours",
        lambda runs: pictured(runs, "lower-half-fixed")["test/accuracy"],
    ),
)
