"""The claims of gilmer2017, fixed before the runs that judge them.

The paper prints no numbers, and `expected` quotes its words. Every bound has its source in `evidence.json` or in mathematics.
A bound from a pilot only checks that our own numbers are unchanged. A bound has two ends, because a result far better than
the pilot's may mean that backpropagation was left on.

No claim asks for an angle below 90 degrees. Two errors softmax - y of one sample are never more than 60 degrees apart
(`lightning_fa.metrics.output_error`), so that such a claim holds for any network. An angle is compared with that of a
fresh B of the same size.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

from replications.judging.claims import Claim
from replications.judging.measured import Measure, Runs, needed
from replications.papers.gilmer2017.summary import SETTLED, over_layers

ALIGNED = '"well aligned throughout training"'
READS_OUT = {
    "dfa": '"obtains good accuracy" although B^i is "not used explicitly" as a readout',
    "lafs": 'no words on its accuracy: layer i is trained "to optimize the auxiliary loss" of this readout',
}
NOISY = '"DFA performs like a noisy version of LAFS"'
PERCENT = (0.0, 100.0)
SIZE = "the paper does not give the size of B"


def _of(run: str, quantity: str, pick: Callable[[Sequence[float]], float]) -> Measure:
    """One number that `pick` chooses from the layers of one run."""
    return lambda runs: pick(over_layers(runs[run], quantity))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _least_gap(quantity: str, larger: str, smaller: str) -> Measure:
    """The smallest difference, over the layers, between two runs."""

    def gap(runs: Runs) -> float:
        larger_values, smaller_values = over_layers(runs[larger], quantity), over_layers(runs[smaller], quantity)
        if math.isnan(larger_values[0] + smaller_values[0]):
            return math.nan
        pairs = zip(larger_values, smaller_values, strict=True)
        return min(more - less for more, less in pairs)

    return gap


def _test(run: str) -> Measure:
    return needed(run, "test/accuracy")


fig1 = partial(Claim, experiment="fig1")
b_scale = partial(Claim, experiment="b-scale", judged_from="full")
discussion = partial(Claim, experiment="discussion")


# fmt: off
def _of_rule(
    rule: str, name: str, below: tuple[float, float], readout: tuple[float, float], test: tuple[float, float]
) -> list[Claim]:
    """The claims that are the same for DFA and LAFS."""
    return [
        fig1(f"{rule}-below-fresh",
            f"{name}: final angle of e^i to e^y below that through a fresh B of the same size, worst layer (degrees)",
            _of(rule, "below_fresh", min), expected=ALIGNED, tolerance=below,
            source="figure 1 left; null: a fresh B; evidence: below-fresh"),
        fig1(f"{rule}-below-fresh-throughout",
            f"{name}: the same, least over all measured steps from {SETTLED} on (above 0 by t test)",
            _of(rule, "least_below_fresh", min), expected=ALIGNED, tolerance=(0, 60),
            source="figure 1 left; evidence: null-of-a-fresh-b", over_seeds="t-test"),
        fig1(f"{rule}-fresh-angle", f"{name}: final angle of e^i to e^y through a fresh B, mean over layers (degrees)",
            _of(rule, "fresh_error_angle", _mean), expected="not in the paper: the null of its figure 1 left"),
        fig1(f"{rule}-largest-angle",
            f"{name}: largest angle of e^i to e^y at any step from 1 on, worst layer (degrees)",
            _of(rule, "largest_error_angle", max), expected=f"{ALIGNED}; no angle can exceed 60",
            source="figure 1 left"),
        fig1(f"{rule}-initial-angle", f"{name}: angle of e^i to e^y before training, worst layer (degrees)",
            _of(rule, "initial_error_angle", max),
            expected='"e_i will be very similar to e_k"; true of any B of this size', source="section 3"),
        fig1(f"{rule}-readout", f"{name}: final training accuracy of the readout by B^i, worst layer (%)",
            _of(rule, "readout", min), expected=READS_OUT[rule], tolerance=readout,
            source="figure 1 right; evidence: readouts", possible=PERCENT),
        fig1(f"{rule}-fresh-readout", f"{name}: the same by fresh random matrices, best layer (%)",
            _of(rule, "fresh_readout", max), expected="control, not in the paper: chance is 10"),
        fig1(f"{rule}-test-accuracy", f"{name}: test accuracy (%)", _test(rule), expected="no number", tolerance=test,
            source="evidence: test-accuracy", possible=PERCENT),
        fig1(f"{rule}-backprop-angle", f"{name}: final angle of the signal to backprop's, worst layer (degrees)",
            _of(rule, "backprop_angle", max)),
    ]


def _of_scale(bound: float, rule: str, name: str, least_readout: float) -> list[Claim]:
    """The claims of figure 1 for another size of B. Their accuracies have no upper bound."""
    run, of = f"{rule}-b{bound:g}", f"{name}, B within ±{bound:g}"
    return [
        b_scale(f"{run}-readout", f"{of}: final training accuracy of the readout by B^i, worst layer (%)",
            _of(run, "readout", min), expected=f"{READS_OUT[rule]}; {SIZE}", tolerance=(least_readout, 100),
            source="figure 1 right; evidence: other-sizes", possible=PERCENT),
        b_scale(f"{run}-test-accuracy", f"{of}: test accuracy (%)", _test(run), expected=f"no number; {SIZE}",
            tolerance=(91, 100), source="evidence: other-sizes", possible=PERCENT),
        b_scale(f"{run}-below-fresh",
            f"{of}: final angle of e^i to e^y below that through a fresh B, worst layer (degrees; above 0 by t test)",
            _of(run, "below_fresh", min), expected=f"{ALIGNED}; {SIZE}", tolerance=(0, 60),
            source="figure 1 left; evidence: null-of-a-fresh-b", over_seeds="t-test"),
    ]


CLAIMS = (
    *_of_rule("dfa", "DFA", below=(3.6, 14.4), readout=(70, 97), test=(91, 95)),
    *_of_rule("lafs", "LAFS", below=(6.75, 27), readout=(85, 97), test=(91.5, 95.5)),
    fig1("lafs-reads-out-better", "readout accuracy of LAFS above that of DFA, smallest gap (points)",
        _least_gap("readout", "lafs", "dfa"), expected=NOISY, tolerance=(0.1, 30),
        source="figure 1 right; evidence: noisy-version"),
    fig1("dfa-angle-larger", "final angle of DFA above that of LAFS, smallest gap (degrees)",
        _least_gap("error_angle", "dfa", "lafs"), expected=NOISY, tolerance=(0.1, 30),
        source="figure 1 left; evidence: noisy-version"),
    fig1("equal-test-accuracy", "test accuracies of DFA and LAFS, distance (points)",
        lambda runs: abs(_test("dfa")(runs) - _test("lafs")(runs)), expected=NOISY, tolerance=(0, 2),
        source="evidence: test-accuracy", possible=(0, 100)),
    *(
        claim
        for bound in (0.2, 1.0)
        for rule, name, least in (("dfa", "DFA", 70), ("lafs", "LAFS", 85))
        for claim in _of_scale(bound, rule, name, least)
    ),
    discussion("backprop-below-fresh",
        "control, backpropagation and a B that it does not use: angle below that through a fresh B, mean over layers (degrees)",
        _of("bp", "below_fresh", _mean), expected="not in the paper: 0", tolerance=(-1.8, 1.8),
        source="evidence: null-of-a-fresh-b"),
    *(
        discussion(name, f"backpropagation in {net}: test accuracy (%)", _test(run), expected=question,
            source="section 5")
        for name, net, question, run in (
            ("one-hidden-layer", "one hidden layer", "open question: can DFA or LAFS outperform it?", "bp-1-layer"),
            ("backprop", "the same three layers", "not in the paper", "bp"),
        )
    ),
)
