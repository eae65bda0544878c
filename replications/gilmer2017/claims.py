"""The claims of gilmer2017, fixed before the runs that judge them.

The paper prints no number of its results. Every bound is ours, set from a pilot of one or two seeds: passing it is
a regression check on our own numbers, the paper's own words stand in `expected`. Bounds have two sides: a rule that
does far better than its pilot may be backpropagation left on.
"""

import math
from collections.abc import Callable, Mapping

from replications.claims import Claim, Metrics
from replications.gilmer2017.summary import over_layers

FIG1_LEFT = "figure 1 left; bound: our pilot"
FIG1_RIGHT = "figure 1 right; bound: our pilot"
ALIGNED = '"well aligned throughout training"'
READS_OUT = '"obtains good accuracy" without being trained as a readout'
NOISY = '"DFA performs like a noisy version of LAFS"'
Runs = Mapping[str, Metrics]


def _of(run: str, quantity: str, pick: Callable[[list[float]], float]) -> Callable[[Runs], float]:
    """One number out of the layers of one run."""
    return lambda runs: pick(over_layers(runs[run], quantity))


def _least_gap(quantity: str, larger: str, smaller: str) -> Callable[[Runs], float]:
    """The smallest difference, over the layers, between two runs."""

    def gap(runs: Runs) -> float:
        larger_values, smaller_values = over_layers(runs[larger], quantity), over_layers(runs[smaller], quantity)
        if math.isnan(larger_values[0] + smaller_values[0]):
            return math.nan
        pairs = zip(larger_values, smaller_values, strict=True)
        return min(more - less for more, less in pairs)

    return gap


def _test(run: str) -> Callable[[Runs], float]:
    return lambda runs: runs[run]["test/accuracy"]


def _of_rule(rule: str, name: str, largest_angle: float, least_readout: float) -> list[Claim]:
    """What is claimed of DFA and LAFS alike."""
    return [
        Claim(
            f"{rule}-below-90",
            "fig1",
            f"{name}: angle of e^i to e^y at any step, worst layer (degrees)",
            ALIGNED,
            (0.1, 89.99),
            "figure 1 left; 90 degrees is no alignment",
            _of(rule, "largest_error_angle", max),
            over_seeds="every",
            judged_from="smoke",
        ),
        Claim(
            f"{rule}-largest-angle",
            "fig1",
            f"{name}: the same angle, tighter bound",
            ALIGNED,
            (5, largest_angle),
            FIG1_LEFT,
            _of(rule, "largest_error_angle", max),
            over_seeds="every",
        ),
        Claim(
            f"{rule}-initial-angle",
            "fig1",
            f"{name}: angle of e^i to e^y before training, worst layer (degrees)",
            '"e_i will be very similar to e_k"',
            (0.1, 5),
            "section 3; bound: our pilot",
            _of(rule, "initial_error_angle", max),
            over_seeds="every",
            judged_from="smoke",
        ),
        Claim(
            f"{rule}-readout",
            "fig1",
            f"{name}: final training accuracy of the readout by B^i, worst layer (%)",
            READS_OUT,
            (least_readout, 97),
            FIG1_RIGHT,
            _of(rule, "readout", min),
        ),
        Claim(
            f"{rule}-fresh-readout",
            "fig1",
            f"{name}: the same by fresh random matrices, best layer (%)",
            "control, not in the paper: chance is 10",
            (2, 20),
            "ours",
            _of(rule, "fresh_readout", max),
            over_seeds="every",
            judged_from="smoke",
        ),
        Claim(
            f"{rule}-test-accuracy",
            "fig1",
            f"{name}: test accuracy (%)",
            "no number",
            (91, 96),
            "bound: our pilot",
            _test(rule),
        ),
        Claim(
            f"{rule}-backprop-angle",
            "fig1",
            f"{name}: final angle of the signal to backprop's, worst layer (degrees)",
            "not in the paper",
            None,
            "ours",
            _of(rule, "backprop_angle", max),
        ),
    ]


def _of_scale(bound: float, rule: str, name: str) -> Claim:
    return Claim(
        f"{rule}-b{bound:g}-below-90",
        "b-scale",
        f"{name}, B within ±{bound:g}: angle of e^i to e^y at any step (1000 steps in preset quick), worst layer (degrees)",
        f"{ALIGNED}; the paper does not give the size of B",
        (0.1, 89.99),
        "ours; 90 degrees is no alignment",
        _of(f"{rule}-b{bound:g}", "largest_error_angle", max),
        over_seeds="every",
        judged_from="smoke",
    )


CLAIMS = (
    *_of_rule("dfa", "DFA", largest_angle=35, least_readout=70),
    *_of_rule("lafs", "LAFS", largest_angle=25, least_readout=85),
    Claim(
        "lafs-reads-out-better",
        "fig1",
        "readout accuracy of LAFS above that of DFA, smallest gap (points)",
        NOISY,
        (0.1, 30),
        FIG1_RIGHT,
        _least_gap("readout", "lafs", "dfa"),
    ),
    Claim(
        "dfa-angle-larger",
        "fig1",
        "final angle of DFA above that of LAFS, smallest gap (degrees)",
        NOISY,
        (0.1, 30),
        FIG1_LEFT,
        _least_gap("error_angle", "dfa", "lafs"),
    ),
    Claim(
        "equal-test-accuracy",
        "fig1",
        "test accuracies of DFA and LAFS, distance (points)",
        NOISY,
        (0, 2),
        "bound: our pilot",
        lambda runs: abs(_test("dfa")(runs) - _test("lafs")(runs)),
    ),
    *(_of_scale(bound, rule, name) for bound in (0.2, 1.0) for rule, name in (("dfa", "DFA"), ("lafs", "LAFS"))),
    *(
        Claim(
            name, "discussion", f"backpropagation in {net}: test accuracy (%)", question, None, "section 5", _test(run)
        )
        for name, net, question, run in (
            ("one-hidden-layer", "one hidden layer", "open question: can DFA or LAFS outperform it?", "bp-1-layer"),
            ("backprop", "the same three layers", "not in the paper", "bp"),
        )
    ),
)
