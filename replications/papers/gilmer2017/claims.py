"""The claims of gilmer2017, fixed before the runs that judge them.

The paper prints no number of its results. Every bound has its source in `evidence.json` or is mathematics: passing a
bound from a pilot is a regression check on our own numbers; the paper's own words stand in `expected`. Bounds have two
sides: a rule that does far better than its pilot may be backpropagation left on.

No claim asks for an angle below 90 degrees. Two errors softmax - y of one sample are never more than 60 degrees apart
(`lightning_fa.metrics.output_error`), so that such a claim holds of any network. An angle is compared with that of a
fresh B of the same size.
"""

import math
from collections.abc import Callable, Mapping

from replications.judging.claims import Claim, Metrics
from replications.papers.gilmer2017.summary import SETTLED, over_layers

ALIGNED = '"well aligned throughout training"'
READS_OUT = '"obtains good accuracy" without being trained as a readout'
NOISY = '"DFA performs like a noisy version of LAFS"'
PERCENT = (0.0, 100.0)
SIZE = "the paper does not give the size of B"
Runs = Mapping[str, Metrics]


def _of(run: str, quantity: str, pick: Callable[[list[float]], float]) -> Callable[[Runs], float]:
    """One number out of the layers of one run."""
    return lambda runs: pick(over_layers(runs[run], quantity))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


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


def _of_rule(
    rule: str, name: str, below: tuple[float, float], readout: tuple[float, float], test: tuple[float, float]
) -> list[Claim]:
    """What is claimed of DFA and LAFS alike."""
    return [
        Claim(
            f"{rule}-below-fresh",
            "fig1",
            f"{name}: final angle of e^i to e^y below that through a fresh B of the same size, worst layer (degrees)",
            ALIGNED,
            below,
            "figure 1 left; null: a fresh B; evidence: below-fresh",
            _of(rule, "below_fresh", min),
        ),
        Claim(
            f"{rule}-below-fresh-throughout",
            "fig1",
            f"{name}: the same, least over all measured steps from {SETTLED} on (above 0 by t test)",
            ALIGNED,
            (0, 60),
            "figure 1 left; evidence: null-of-a-fresh-b",
            _of(rule, "least_below_fresh", min),
            over_seeds="t-test",
        ),
        Claim(
            f"{rule}-fresh-angle",
            "fig1",
            f"{name}: final angle of e^i to e^y through a fresh B, mean over layers (degrees)",
            "not in the paper: the null of its figure 1 left",
            None,
            "ours",
            _of(rule, "fresh_error_angle", _mean),
        ),
        Claim(
            f"{rule}-largest-angle",
            "fig1",
            f"{name}: largest angle of e^i to e^y at any step from 1 on, worst layer (degrees)",
            f"{ALIGNED}; no angle can exceed 60",
            None,
            "figure 1 left",
            _of(rule, "largest_error_angle", max),
        ),
        Claim(
            f"{rule}-initial-angle",
            "fig1",
            f"{name}: angle of e^i to e^y before training, worst layer (degrees)",
            '"e_i will be very similar to e_k"; true of any B of this size',
            None,
            "section 3",
            _of(rule, "initial_error_angle", max),
        ),
        Claim(
            f"{rule}-readout",
            "fig1",
            f"{name}: final training accuracy of the readout by B^i, worst layer (%)",
            READS_OUT,
            readout,
            "figure 1 right; evidence: readouts",
            _of(rule, "readout", min),
            possible=PERCENT,
        ),
        Claim(
            f"{rule}-fresh-readout",
            "fig1",
            f"{name}: the same by fresh random matrices, best layer (%)",
            "control, not in the paper: chance is 10",
            None,
            "ours",
            _of(rule, "fresh_readout", max),
        ),
        Claim(
            f"{rule}-test-accuracy",
            "fig1",
            f"{name}: test accuracy (%)",
            "no number",
            test,
            "evidence: test-accuracy",
            _test(rule),
            possible=PERCENT,
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


def _of_scale(bound: float, rule: str, name: str, least_readout: float) -> list[Claim]:
    """What is claimed of figure 1, asked of another size of B; a better accuracy than there is no fault here."""
    run, of = f"{rule}-b{bound:g}", f"{name}, B within ±{bound:g}"
    return [
        Claim(
            f"{run}-readout",
            "b-scale",
            f"{of}: final training accuracy of the readout by B^i, worst layer (%)",
            f"{READS_OUT}; {SIZE}",
            (least_readout, 100),
            "figure 1 right; evidence: other-sizes",
            _of(run, "readout", min),
            possible=PERCENT,
            judged_from="full",
        ),
        Claim(
            f"{run}-test-accuracy",
            "b-scale",
            f"{of}: test accuracy (%)",
            f"no number; {SIZE}",
            (91, 100),
            "evidence: other-sizes",
            _test(run),
            possible=PERCENT,
            judged_from="full",
        ),
        Claim(
            f"{run}-below-fresh",
            "b-scale",
            f"{of}: final angle of e^i to e^y below that through a fresh B, worst layer (degrees; above 0 by t test)",
            f"{ALIGNED}; {SIZE}",
            (0, 60),
            "figure 1 left; evidence: null-of-a-fresh-b",
            _of(run, "below_fresh", min),
            over_seeds="t-test",
            judged_from="full",
        ),
    ]


CLAIMS = (
    *_of_rule("dfa", "DFA", below=(3.6, 14.4), readout=(70, 97), test=(91, 95)),
    *_of_rule("lafs", "LAFS", below=(6.75, 27), readout=(85, 97), test=(91.5, 95.5)),
    Claim(
        "lafs-reads-out-better",
        "fig1",
        "readout accuracy of LAFS above that of DFA, smallest gap (points)",
        NOISY,
        (0.1, 30),
        "figure 1 right; evidence: noisy-version",
        _least_gap("readout", "lafs", "dfa"),
    ),
    Claim(
        "dfa-angle-larger",
        "fig1",
        "final angle of DFA above that of LAFS, smallest gap (degrees)",
        NOISY,
        (0.1, 30),
        "figure 1 left; evidence: noisy-version",
        _least_gap("error_angle", "dfa", "lafs"),
    ),
    Claim(
        "equal-test-accuracy",
        "fig1",
        "test accuracies of DFA and LAFS, distance (points)",
        NOISY,
        (0, 2),
        "evidence: test-accuracy",
        lambda runs: abs(_test("dfa")(runs) - _test("lafs")(runs)),
        possible=(0, 100),
    ),
    *(
        claim
        for bound in (0.2, 1.0)
        for rule, name, least in (("dfa", "DFA", 70), ("lafs", "LAFS", 85))
        for claim in _of_scale(bound, rule, name, least)
    ),
    Claim(
        "backprop-below-fresh",
        "discussion",
        "control, backpropagation and a B that it does not use: angle below that through a fresh B, mean over layers (degrees)",
        "not in the paper: 0",
        (-1.8, 1.8),
        "evidence: null-of-a-fresh-b",
        _of("bp", "below_fresh", _mean),
    ),
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
