"""SG+prop: synthetic gradients, with blocks that also minimise the loss of the module that predicts their error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from lightning_fa.rules import predictors
from lightning_fa.rules.base import SyntheticRule


@final
@dataclass(frozen=True, kw_only=True)
class SyntheticGradientPropagation(SyntheticRule):
    r"""Every block receives a prediction of its error, and the gradient of the predictor's own loss.

    .. math:: \delta^l = \Big( SG^l(h^l, y) + \alpha \frac{\partial L_{SG^l}}{\partial h^l} \Big) \odot f'(a^l), \qquad
              L_{SG^l} = \textstyle\sum_j \| SG^l(h^l_j, y_j) - t^l_j \|^2

    with t the error from above, taken as constant. All else is as in :class:`~lightning_fa.SyntheticGradient`.

    Args:
        alpha: Weight of the second term.
        alone: Whether blocks receive the second term alone (footnote 5).
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

    References: Czarnecki et al. 2017 (arXiv 1703.00522), section 6 and Table 1.
    """

    alpha: float = 1.0
    alone: bool = False
    seed: int = 0
    predictor: Literal["linear", "sigmoid", "mlp"] = "linear"
    inputs: Literal["both", "activations", "labels"] = "both"
    hidden: int = 0
    at: str | Sequence[str] = "*"
    warm_up: int = 0
    spatial: Literal["dense", "shared"] = "shared"

    def __post_init__(self) -> None:
        predictors.check(self)
        if self.inputs == "labels":
            raise ValueError(
                "Expected argument `inputs` to be 'both' or 'activations': without h the predictor's loss has no gradient at h."
            )

    @property
    def share(self) -> float:  # type: ignore[override]
        return 0.0 if self.alone else 1.0

    @property
    def labels(self) -> bool:  # type: ignore[override]
        return self.inputs != "activations"

    def initial(self, name: str, width: int, outputs: int) -> dict[str, Tensor]:
        return predictors.initial(self, name, width, outputs)

    def outputs(self, theta: Mapping[str, Tensor]) -> int:
        return predictors.outputs(self, theta)

    def predict(self, h: Tensor, y: Tensor | None, theta: Mapping[str, Tensor]) -> Tensor:
        return predictors.predict(self, h, y, theta)
