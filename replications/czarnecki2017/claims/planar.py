"""Figures 2 and 9: the loss that a synthetic gradient implies."""

from statistics import fmean

from replications.claims import Claim
from replications.czarnecki2017.claims.common import ANY_DATA, Measure, Runs

PANELS = tuple((labels, loss) for loss in ("mse", "log") for labels in ("linear", "random"))
NO_MATCH = '"none of these two approaches provide a loss estimation fidelity comparable with the full SG"'


def _over_panels(inputs: str, quantity: str) -> Measure:
    """Mean over the data sets and losses that the preset has."""

    def mean(runs: Runs) -> float:
        names = [f"{labels}-{loss}-{inputs}" for labels, loss in PANELS]
        return fmean(runs[name][quantity] for name in names if name in runs)

    return mean


def _fidelity_gap(other: str) -> Measure:
    return lambda runs: _over_panels("both", "correlation")(runs) - _over_panels(other, "correlation")(runs)


def _degrades(run: str) -> Measure:
    return lambda runs: runs[run]["early_correlation"] - runs[run]["late_correlation"]


def _claim(
    name: str, experiment: str, statement: str, expected: str, bound: tuple[float, float] | None, measure: Measure
) -> Claim:
    source = {"fig2": "figure 2", "fig9": "figure 9"}[experiment]
    return Claim(name, experiment, statement, expected, bound, source, measure, datasets=ANY_DATA)


def _ratio(other: str) -> Measure:
    def ratio(runs: Runs) -> float:
        return _over_panels(other, "loss")(runs) / _over_panels("both", "loss")(runs)

    return ratio


PLANAR = (
    _claim(
        "fig2-top",
        "fig2",
        "correlation of implied and true loss over the points: top layer above bottom layer, mean of panels and times",
        '"it is better in layers closer to the true loss"',
        (0, 2),
        _over_panels("both", "top_minus_bottom"),
    ),
    _claim(
        "fig2-early",
        "fig2",
        "log loss, separable: the same correlation at a tenth of training above that at its end, mean of layers",
        '"better approximated at the very beginning"; linear SGs "will have problems" with separable data',
        (0, 2),
        _degrades("linear-log-both"),
    ),
    _claim(
        "fig2-early-mse",
        "fig2",
        "MSE, separable: the same",
        '"no such problem for MSE loss"',
        None,
        _degrades("linear-mse-both"),
    ),
    _claim(
        "fig2-fidelity",
        "fig2",
        "the correlation itself, mean of panels, layers and times",
        '"reasonably well for most of the training"',
        None,
        _over_panels("both", "correlation"),
    ),
    _claim(
        "fig2-fidelity-within-labels",
        "fig2",
        "the same within the points of one label",
        "not in the paper: the constant of integration may depend on the label",
        None,
        _over_panels("both", "correlation_within_labels"),
    ),
    *(
        _claim(
            f"fig9-{other}",
            "fig9",
            f"correlation of the full SG above that of an SG without {without}, mean of panels, layers and times",
            NO_MATCH,
            (0, 2),
            _fidelity_gap(other),
        )
        for other, without in (("activations", "labels"), ("labels", "activations"))
    ),
    _claim(
        "fig9-labels-loss",
        "fig9",
        "final loss of an SG without activations over that of the full SG",
        '"did not converge to a good solution after 100k iterations"',
        (3, 1e6),
        _ratio("labels"),
    ),
    _claim(
        "fig9-activations-loss",
        "fig9",
        "final loss of an SG without labels over that of the full SG",
        '"was able to do so (however it took much longer and was far noisier)"',
        None,
        _ratio("activations"),
    ),
)
