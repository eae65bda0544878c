"""Claims about figures 3, 5, 7 and 8: the representations of the layers."""

from functools import partial
from statistics import fmean

from replications.judging.claims import Claim
from replications.judging.measured import Measure, Runs, defined
from replications.judging.statistics import spearman
from replications.papers.czarnecki2017.claims.common import by_layer, pictured

STATIC = 0.95
SEPARATED = 99.5
"""The accuracy (%) of a probe from which on it is 100 % when rounded to whole points, as a reader of figure 8 can see it."""


def first_static(values: list[float]) -> int:
    """The number, from 1, of the first layer from which on all layers have a likeness to the last of at least 0.95."""
    return max((i for i, value in enumerate(values, start=1) if not value >= STATIC), default=0) + 1


def _static_share(rule: str) -> Measure:
    def share(runs: Runs) -> float:
        similar = by_layer(pictured(runs, rule), "rsa/{}")
        return first_static(similar) / len(similar)

    return share


def _difference_below(runs: Runs, rule: str = "sg-mid") -> float:
    bp, other = (by_layer(pictured(runs, name), "rsa/{}") for name in ("bp", rule))
    return max(defined([abs(a - b) for a, b in zip(bp, other)][: len(bp) // 2]))


def _difference_of_rates(runs: Runs) -> float:
    return _difference_below(runs, "bp-as-sg-all")


def _later(rule: str, than: str) -> Measure:
    return lambda runs: _static_share(rule)(runs) - _static_share(than)(runs)


def _norm_trend(rule: str) -> Measure:
    """The rank correlation of layer and norm, for matrices between hidden layers. The first matrix has another fan-in."""
    return lambda runs: spearman(by_layer(pictured(runs, rule), "weights/layers.hidden{}/norm")[1:])


def _probe(rule: str, layer: int) -> Measure:
    return lambda runs: pictured(runs, rule)[f"probe/layers.norm{layer}/converged_train_accuracy"]


def _ridge(rule: str, layer: int) -> Measure:
    return lambda runs: pictured(runs, rule)[f"probe/layers.hidden{layer}/train_accuracy"]


def _input_error(runs: Runs) -> float:
    dfa, bp = (by_layer(pictured(runs, rule), "probe/layers.hidden{}/input_mse")[:3] for rule in ("dfa", "bp"))
    return min(defined([a - b for a, b in zip(dfa, bp)]))


def _gradual(runs: Runs) -> float:
    """The likeness to the last layer with backprop minus that with an SG after every layer, the mean over layers."""
    bp, sg = (by_layer(pictured(runs, rule), "rsa/{}") for rule in ("bp-as-sg-all", "sg-all"))
    return fmean(a - b for a, b in zip(bp, sg))


SCATTERED = '"no longer a point in the progression of layers where the representation is more or less static"'
BOTTOM_UP = '"DFA tries to solve the classification problem bottom-up as opposed to up-bottom"'
fig3 = partial(Claim, experiment="fig3", source="figure 3")
fig5 = partial(Claim, experiment="fig5", source="figure 5; evidence: no-trend", judged_from="full")
fig7 = partial(Claim, experiment="fig7", source="figure 7")
fig8 = partial(Claim, experiment="fig8")
converged = partial(
    fig8, judged_from="reduced", possible=(0, 100), source="figure 8 left; evidence: probe-of-all-samples"
)
# fmt: off
REPRESENTATIONS = (
    fig3("fig3-bp-static",
        "backprop: from which layer on all are like the last one (correlation of RSMs at least 0.95), as a share of depth",
        _static_share("bp"), expected='"after 9 layers is nearly the same as the final layer\'s" (of 20)',
        tolerance=(0.1, 0.6), source="figure 3; evidence: likeness"),
    fig3("fig3-sg-different", "below the SG: largest difference to backprop in a layer's likeness to the last layer",
        _difference_below,
        expected='"the layers before the SG module develop a qualitatively different style of representation"',
        source="figure 3; the bound of 0.1 judges nothing: backprop at another learning rate differs as much"),
    fig3("fig3-sg-different-null",
        "null of the same: largest difference in these layers between backprop at two learning rates, same seed",
        _difference_of_rates),
    fig3("fig3-sg-all-later",
        "SG everywhere: static that much later than backprop at the same rate, as a share of depth",
        _later("sg-all", "bp-as-sg-all"), expected=SCATTERED),
    fig3("fig3-sg-all-gradual",
        "SG everywhere: how much less like the last layer than with backprop at the same rate, mean over layers",
        _gradual, expected=SCATTERED),
    fig7("fig7-dfa-static",
        "DFA: from which layer on all are like the last one, later than backprop, as a share of depth",
        _later("dfa", "bp"), expected=BOTTOM_UP),
    fig5("fig5-bp", "backprop: rank correlation of layer and norm of the matrix between hidden layers",
        _norm_trend("bp"), expected='"norms slowly increasing towards the output"', tolerance=(0.001, 1)),
    fig5("fig5-sg-all", "SG everywhere: the same", _norm_trend("sg-all"),
        expected='"norms that start high, and then decrease towards the output"', tolerance=(-1, -0.001)),
    fig5("fig5-sg-mid", "one SG: the same", _norm_trend("sg-mid"), expected='"more chaotic" before it',
        source="figure 5", judged_from="quick"),
    *(
        converged(f"fig8-{rule}-layer-2", f"{name}: training accuracy of a converged linear probe at layer 2 (%)",
            _probe(rule, 2), expected='"can achieve 100% training accuracy after the first two hidden-layers"',
            tolerance=(SEPARATED, 100))
        for rule, name in (("bp", "backprop"), ("sg-mid", "one SG"))
    ),
    converged("fig8-dfa-layer-1", "DFA: training accuracy of a converged linear probe at layer 1 (%)", _probe("dfa", 1),
        expected='"for DFA we can have 100% accuracy after the very first hidden layer"', tolerance=(SEPARATED, 100)),
    converged("fig8-dfa-above-bp", "DFA: training accuracy of a converged linear probe at layer 1 above backprop's (points)",
        lambda runs: _probe("dfa", 1)(runs) - _probe("bp", 1)(runs),
        expected='"which is not true even for backpropagation"', tolerance=(0.01, 100), possible=(-100, 100)),
    *(
        converged(f"fig8-untrained-layer-{layer}",
            f"control, no weight trained: training accuracy of a converged linear probe at layer {layer} (%)",
            _probe("untrained", layer), tolerance=(0, SEPARATED - 0.01))
        for layer in (1, 2)
    ),
    fig8("fig8-dfa-layer-1-ridge", "the same of ridge probes (points)",
        lambda runs: _ridge("dfa", 1)(runs) - _ridge("bp", 1)(runs), expected="the same", source="figure 8 left"),
    fig8("fig8-dfa-untrained-ridge",
        "DFA: training accuracy of a ridge probe at layer 1 above that of an untrained network (points)",
        lambda runs: _ridge("dfa", 1)(runs) - _ridge("untrained", 1)(runs)),
    fig8("fig8-input", "error of the regression to the input, DFA above backprop, smallest gap in layers 1 to 3",
        _input_error, expected='"DFA performs lots of non-linear transformations very early on"', tolerance=(1e-5, 1),
        source="figure 8 right; evidence: input-regression"),
)
