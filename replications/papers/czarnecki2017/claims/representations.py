"""Figures 3, 5, 7 and 8: what the layers of these networks are like."""

from statistics import fmean

from replications.judging.claims import Claim
from replications.judging.statistics import spearman
from replications.papers.czarnecki2017.claims.common import Measure, Runs, by_layer, defined, pictured

STATIC = 0.95


def first_static(values: list[float]) -> int:
    """The first layer, from 1, from which on no layer is less like the last one than 0.95."""
    return max((i for i, value in enumerate(values, start=1) if not value >= STATIC), default=0) + 1


def _static_share(rule: str) -> Measure:
    def share(runs: Runs) -> float:
        similar = by_layer(pictured(runs, rule), "rsa/{}")
        return first_static(similar) / len(similar)

    return share


def _difference_below(runs: Runs) -> float:
    bp, sg = (by_layer(pictured(runs, rule), "rsa/{}") for rule in ("bp", "sg-mid"))
    return max(defined([abs(a - b) for a, b in zip(bp, sg)][: len(bp) // 2]))


def _later(rule: str, than: str) -> Measure:
    return lambda runs: _static_share(rule)(runs) - _static_share(than)(runs)


def _norm_trend(rule: str) -> Measure:
    """Of the matrices that connect hidden layers: not the first, whose fan-in is another."""
    return lambda runs: spearman(by_layer(pictured(runs, rule), "weights/layers.hidden{}/norm")[1:])


def _probe(rule: str, layer: int) -> Measure:
    return lambda runs: pictured(runs, rule)[f"probe/layers.norm{layer}/converged_train_accuracy"]


def _ridge(rule: str, layer: int) -> Measure:
    return lambda runs: pictured(runs, rule)[f"probe/layers.hidden{layer}/train_accuracy"]


def _input_error(runs: Runs) -> float:
    dfa, bp = (by_layer(pictured(runs, rule), "probe/layers.hidden{}/input_mse")[:3] for rule in ("dfa", "bp"))
    return min(defined([a - b for a, b in zip(dfa, bp)]))


def _gradual(runs: Runs) -> float:
    """How much less like the last layer the layers are on average with an SG everywhere than with backprop."""
    bp, sg = (by_layer(pictured(runs, rule), "rsa/{}") for rule in ("bp-as-sg-all", "sg-all"))
    return fmean(a - b for a, b in zip(bp, sg))


SCATTERED = '"no longer a point in the progression of layers where the representation is more or less static"'
BOTTOM_UP = '"DFA tries to solve the classification problem bottom-up as opposed to up-bottom"'
REPRESENTATIONS = (
    Claim(
        "fig3-bp-static",
        "fig3",
        "backprop: from which layer on all are like the last one (correlation of RSMs at least 0.95), as a share of depth",
        '"after 9 layers is nearly the same as the final layer\'s" (of 20)',
        (0.1, 0.6),
        "figure 3; evidence: likeness",
        _static_share("bp"),
    ),
    Claim(
        "fig3-sg-different",
        "fig3",
        "below the SG: largest difference to backprop in a layer's likeness to the last layer",
        '"the layers before the SG module develop a qualitatively different style of representation"',
        (0.1, 1),
        "figure 3; evidence: likeness",
        _difference_below,
    ),
    Claim(
        "fig3-sg-all-later",
        "fig3",
        "SG everywhere: static that much later than backprop at the same rate, as a share of depth",
        SCATTERED,
        None,
        "figure 3",
        _later("sg-all", "bp-as-sg-all"),
    ),
    Claim(
        "fig3-sg-all-gradual",
        "fig3",
        "SG everywhere: how much less like the last layer than with backprop at the same rate, mean over layers",
        SCATTERED,
        None,
        "figure 3",
        _gradual,
    ),
    Claim(
        "fig7-dfa-static",
        "fig7",
        "DFA: from which layer on all are like the last one, later than backprop, as a share of depth",
        BOTTOM_UP,
        None,
        "figure 7",
        _later("dfa", "bp"),
    ),
    Claim(
        "fig5-bp",
        "fig5",
        "backprop: rank correlation of layer and norm of the matrix between hidden layers",
        '"norms slowly increasing towards the output"',
        (0.001, 1),
        "figure 5; evidence: no-trend",
        _norm_trend("bp"),
        judged_from="full",
    ),
    Claim(
        "fig5-sg-all",
        "fig5",
        "SG everywhere: the same",
        '"norms that start high, and then decrease towards the output"',
        (-1, -0.001),
        "figure 5; evidence: no-trend",
        _norm_trend("sg-all"),
        judged_from="full",
    ),
    Claim(
        "fig5-sg-mid", "fig5", "one SG: the same", '"more chaotic" before it', None, "figure 5", _norm_trend("sg-mid")
    ),
    *(
        Claim(
            f"fig8-{rule}-layer-2",
            "fig8",
            f"{name}: training accuracy of a converged linear probe at layer 2 (%)",
            '"can achieve 100% training accuracy after the first two hidden-layers"',
            None,
            "figure 8 left; not judged, since an untrained network passes",
            _probe(rule, 2),
        )
        for rule, name in (("bp", "backprop"), ("sg-mid", "one SG"))
    ),
    *(
        Claim(
            f"fig8-untrained-layer-{layer}",
            "fig8",
            f"control, no weight trained: training accuracy of a converged linear probe at layer {layer} (%)",
            "not in the paper",
            None,
            "ours",
            _probe("untrained", layer),
        )
        for layer in (1, 2)
    ),
    Claim(
        "fig8-dfa-layer-1",
        "fig8",
        "DFA: training accuracy of a converged linear probe at layer 1 above backprop's (points)",
        '"for DFA we can have 100% accuracy after the very first hidden layer", not "even for backpropagation"',
        None,
        "figure 8 left; not judged, since an untrained network passes",
        lambda runs: _probe("dfa", 1)(runs) - _probe("bp", 1)(runs),
    ),
    Claim(
        "fig8-dfa-layer-1-ridge",
        "fig8",
        "the same of ridge probes (points)",
        "the same",
        None,
        "figure 8 left",
        lambda runs: _ridge("dfa", 1)(runs) - _ridge("bp", 1)(runs),
    ),
    Claim(
        "fig8-dfa-untrained-ridge",
        "fig8",
        "DFA: training accuracy of a ridge probe at layer 1 above that of an untrained network (points)",
        "not in the paper",
        None,
        "ours",
        lambda runs: _ridge("dfa", 1)(runs) - _ridge("untrained", 1)(runs),
    ),
    Claim(
        "fig8-input",
        "fig8",
        "error of the regression to the input, DFA above backprop, smallest gap in layers 1 to 3",
        '"DFA performs lots of non-linear transformations very early on"',
        (1e-5, 1),
        "figure 8 right; evidence: input-regression",
        _input_error,
    ),
)
