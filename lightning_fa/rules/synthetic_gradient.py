"""Synthetic gradients (decoupled neural interfaces): a small module learns to predict the error from h and y."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from lightning_fa.rules import predictors
from lightning_fa.rules.base import SyntheticRule


@final
@dataclass(frozen=True, kw_only=True)
class SyntheticGradient(SyntheticRule):
    r"""Every block receives a prediction of its error.

    .. math:: \delta^l = SG^l(h^l, y) \odot f'(a^l), \qquad L_{SG^l} = \textstyle\sum_j \| SG^l(h^l_j, y_j) - t^l_j \|^2

    The target t is the error that the block above computes at :math:`h^l`. That block computes it from a prediction too
    (bootstrapping), and the head computes it from the true loss. t is the gradient of one sample's loss if the loss is a
    mean over n samples. Under a sum over n samples t is n times this gradient: divide such a loss by n. Predictors are
    parameters of the model, which its optimizer trains on the mean of :math:`L_{SG}`. The loss must pass through
    ``attached.loss``.

    A row of class -100, or of NaN alone, receives nothing, teaches nothing and is left out of the means: set targets that your
    own loss masks out to -100 or NaN. This also holds if other rows depend on the row, as in a graph. A predictor that reads
    the activations alone does not read the targets, so that every row counts.

    Args:
        seed: Fixes what a predictor draws, together with the block's name; only ``"mlp"`` draws anything.
        predictor: ``"linear"``: :math:`hA + yB + C`; ``"sigmoid"``: :math:`D \sigma(hA) + yB + C`, in the form of the
            log-loss' gradient; ``"mlp"``: one hidden layer of ReLU. All predictions begin at zero.
        inputs: What the predictor reads: ``"both"`` h and y, ``"activations"`` or ``"labels"``.
        hidden: Width of the hidden layer of ``"mlp"``; 0 is the width of h.
        at: Name patterns of the blocks that have a predictor, all by default. The other blocks receive the true error of
            the block above, as in backpropagation.
        warm_up: Number of forward passes in training mode during which predictors only learn and blocks receive the true
            error. A pass counts whether or not the optimizer steps after it (accumulation, a GradScaler that skips).
        spatial: ``"shared"``: one predictor for all positions of a feature map or sequence. ``"dense"``: one for the whole.

    References: Jaderberg et al. 2016 (arXiv 1608.05343); Czarnecki et al. 2017 (arXiv 1703.00522), sections 2 and 3.
    """

    seed: int = 0
    predictor: Literal["linear", "sigmoid", "mlp"] = "linear"
    inputs: Literal["both", "activations", "labels"] = "both"
    hidden: int = 0
    at: str | Sequence[str] = "*"
    warm_up: int = 0
    spatial: Literal["dense", "shared"] = "shared"

    def __post_init__(self) -> None:
        predictors.check(self)
        if self.warm_up < 0:
            raise ValueError(f"Expected argument `warm_up` to be 0 forward passes or more, but got {self.warm_up}.")

    @property
    def labels(self) -> bool:  # type: ignore[override]
        return self.inputs != "activations"

    def initial(self, name: str, width: int, outputs: int) -> dict[str, Tensor]:
        return predictors.initial(self, name, width, outputs)

    def outputs(self, theta: Mapping[str, Tensor]) -> int:
        return predictors.outputs(self, theta)

    def predict(self, h: Tensor, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
        return predictors.predict(self, h, y, theta)
