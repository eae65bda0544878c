"""Figures 2 and 9: the loss that a synthetic gradient implies. Every panel is judged by itself: a mean would hide one.

Early is while the true loss is above 1e-3, and from step 100 on, since the module begins at zero.
"""

import math

from replications.judging.claims import Claim
from replications.papers.czarnecki2017.claims.common import ANY_DATA, Measure, Runs

PANELS = tuple((labels, loss) for loss in ("mse", "log") for labels in ("linear", "random"))
WORDS = {"linear": "separable labels", "random": "random labels", "mse": "MSE", "log": "log loss"}
NO_MATCH = '"none of these two approaches provide a loss estimation fidelity comparable with the full SG"'
LESS = (("activations", "labels"), ("labels", "activations"))
"""What an SG of figure 9 sees, and what it does not."""


def _of(labels: str, loss: str, quantity: str, inputs: str = "both") -> Measure:
    return lambda runs: runs[f"{labels}-{loss}-{inputs}"][quantity]


def _gap(labels: str, loss: str, other: str) -> Measure:
    return lambda runs: _of(labels, loss, "early")(runs) - _of(labels, loss, "early", other)(runs)


def _falls(labels: str, loss: str) -> Measure:
    return lambda runs: _of(labels, loss, "early")(runs) - _of(labels, loss, "late")(runs)


def _least_log_ratio(other: str) -> Measure:
    """Of the final losses, over the panels; infinite where one diverged."""

    def least(runs: Runs) -> float:
        pairs = [(_of(*panel, "loss", other)(runs), _of(*panel, "loss")(runs)) for panel in PANELS]
        return min(math.log10(more / full) if math.isfinite(more) else math.inf for more, full in pairs)

    return least


def _claim(
    name: str,
    statement: str,
    expected: str,
    bound: tuple[float, float] | None,
    measure: Measure,
    source: str = "",
) -> Claim:
    experiment = name.partition("-")[0]
    most = bound[1] if bound else math.inf  # of a correlation, or of a difference of two
    figure = {"fig2": "figure 2", "fig9": "figure 9"}[experiment]
    return Claim(
        name,
        experiment,
        statement,
        expected,
        bound,
        f"{figure}{source}",
        measure,
        datasets=ANY_DATA,
        possible=(-most, most),
    )


def _of_panel(labels: str, loss: str) -> list[Claim]:
    panel, words = f"{labels}-{loss}", f"{WORDS[labels]}, {WORDS[loss]}"
    worse = loss == "log" and labels == "linear"
    return [
        _claim(
            f"fig2-early-{panel}",
            f"{words}: correlation of implied and true loss over the points, early, mean of the two top layers",
            '"reasonably well for most of the training"',
            (0.5, 1),
            _of(labels, loss, "early_top_two"),
            "; evidence: early-fidelity",
        ),
        _claim(
            f"fig2-top-{panel}",
            f"{words}: the same, top layer above bottom layer, early",
            '"it is better in layers closer to the true loss"',
            (1e-6, 2),
            _of(labels, loss, "early_top_minus_bottom"),
            "; 0 is no difference",
        ),
        _claim(
            f"fig2-within-labels-{panel}",
            f"{words}: the correlation within the points of one label, early, mean of layers",
            "not in the paper: the constant of integration may depend on the label",
            None,
            _of(labels, loss, "early_within_labels"),
        ),
        *(
            [
                _claim(
                    f"fig2-falls-{panel}",
                    f"{words}: the correlation while the loss is above 1e-3 above that afterwards, mean of layers",
                    '"better approximated at the very beginning"; linear SGs "will have problems" with separable data'
                    if worse
                    else '"no such problem for MSE loss"',
                    (1e-6, 2) if worse else None,
                    _falls(labels, loss),
                    "; 0 is no difference" if worse else "",
                )
            ]
            if labels == "linear"
            else []
        ),
        *(
            _claim(
                f"fig9-{other}-{panel}",
                f"{words}: correlation of the full SG above that of an SG without {without}, early, mean of layers",
                NO_MATCH,
                (1e-6, 2),
                _gap(labels, loss, other),
                "; 0 is no difference",
            )
            for other, without in LESS
        ),
    ]


PLANAR = (
    *(claim for panel in PANELS for claim in _of_panel(*panel)),
    *(
        _claim(
            f"fig9-{other}-loss",
            f"log10 of the final loss of an SG without {without} over that of the full SG, the panel where it is least "
            "(post hoc: the bound on a ratio of losses, fixed before the runs, could not bound a ratio to nearly 0)",
            expected,
            None,
            _least_log_ratio(other),
        )
        for (other, without), expected in zip(
            LESS,
            (
                '"was able to do so (however it took much longer and was far noisier)"',
                '"did not converge to a good solution after 100k iterations"',
            ),
        )
    ),
)
