"""Claims about figures 2 and 9: the loss that a synthetic gradient implies.

Every panel is judged by itself, because a mean over panels could hide one that fails. Early means that the true loss is above
1e-3 and that at least 100 steps were made, because the module begins at zero. On separable labels the loss of the full SG falls
below 1e-3 and that of the others does not, so that their means are over other steps. These differences are only reported.
"""

import math
from functools import partial
from typing import Any

from replications.judging.claims import ANY_DATA, Claim
from replications.judging.measured import Measure, Runs, minus, needed

PANELS = tuple((labels, loss) for loss in ("mse", "log") for labels in ("linear", "random"))
WORDS = {"linear": "separable labels", "random": "random labels", "mse": "MSE", "log": "log loss"}
NO_MATCH = '"none of these two approaches provide a loss estimation fidelity comparable with the full SG"'
LESS = (("activations", "labels"), ("labels", "activations"))
"""(the inputs that an SG of figure 9 sees, the inputs that it does not see)."""


fig2 = partial(Claim, experiment="fig2", source="figure 2", datasets=ANY_DATA)
fig9 = partial(Claim, experiment="fig9", source="figure 9", datasets=ANY_DATA)
DIFFERENCE: dict[str, Any] = {"tolerance": (1e-6, 2), "possible": (-2, 2)}
JUDGED: dict[str, Any] = {**DIFFERENCE, "source": "figure 9; 0 is no difference"}


def _of(labels: str, loss: str, quantity: str, inputs: str = "both") -> Measure:
    return needed(f"{labels}-{loss}-{inputs}", quantity)


def _gap(labels: str, loss: str, other: str) -> Measure:
    return minus(_of(labels, loss, "early"), _of(labels, loss, "early", other))


def _falls(labels: str, loss: str) -> Measure:
    return minus(_of(labels, loss, "early"), _of(labels, loss, "late"))


def _least_log_ratio(other: str) -> Measure:
    """The least log10 ratio, over the panels, of the final loss to that of the full SG; infinite where training diverged."""

    def least(runs: Runs) -> float:
        pairs = [(_of(*panel, "loss", other)(runs), _of(*panel, "loss")(runs)) for panel in PANELS]
        return min(math.log10(more / full) if math.isfinite(more) else math.inf for more, full in pairs)

    return least


# fmt: off
def _of_panel(labels: str, loss: str) -> list[Claim]:
    panel, words = f"{labels}-{loss}", f"{WORDS[labels]}, {WORDS[loss]}"
    same_steps = labels == "random"
    return [
        fig2(f"fig2-early-{panel}",
            f"{words}: correlation of implied and true loss over the points, early, mean of the two top layers",
            _of(labels, loss, "early_top_two"), expected='"reasonably well for most of the training"',
            source="figure 2; the bound of 0.5 was from seed 0 of the first panel, so that it judges nothing"),
        fig2(f"fig2-top-{panel}", f"{words}: the same, top layer above bottom layer, early",
            _of(labels, loss, "early_top_minus_bottom"), expected='"it is better in layers closer to the true loss"',
            source="figure 2; 0 is no difference", **DIFFERENCE),
        fig2(f"fig2-within-labels-{panel}",
            f"{words}: the correlation within the points of one label, early, mean of layers",
            _of(labels, loss, "early_within_labels"),
            expected="not in the paper: the constant of integration may depend on the label"),
        *(_falling(words, loss) if labels == "linear" else ()),
        *(
            fig9(f"fig9-{other}-{panel}",
                f"{words}: correlation of the full SG above that of an SG without {without}, early, mean of layers"
                + ("" if same_steps else " (over more steps than that of the full SG)"),
                _gap(labels, loss, other), expected=NO_MATCH, **(JUDGED if same_steps else {"source": "figure 9"}))
            for other, without in LESS
        ),
    ]


def _falling(words: str, loss: str) -> list[Claim]:
    falls = partial(fig2, f"fig2-falls-linear-{loss}",
        f"{words}: the correlation while the loss is above 1e-3 above that afterwards, mean of layers",
        _falls("linear", loss))
    if loss == "mse":
        return [falls(expected='"no such problem for MSE loss"')]
    return [falls(
        expected='"better approximated at the very beginning"; linear SGs "will have problems" with separable data',
        source="figure 2; 0 is no difference", **DIFFERENCE)]


NOISIER = (
    '"was able to do so (however it took much longer and was far noisier)"',
    '"did not converge to a good solution after 100k iterations"',
)
PLANAR = (
    *(claim for panel in PANELS for claim in _of_panel(*panel)),
    *(
        fig9(f"fig9-{other}-loss",
            f"log10 of the final loss of an SG without {without} over that of the full SG, the panel where it is least "
            "(post hoc: the bound on a ratio of losses, fixed before the runs, could bound no loss that diverges, "
            "nor a ratio to nearly 0)",
            _least_log_ratio(other), expected=expected)
        for (other, without), expected in zip(LESS, NOISIER)
    ),
)
