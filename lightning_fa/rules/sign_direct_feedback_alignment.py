"""Direct feedback alignment of the sign of the error: hidden units need to know its direction only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from lightning_fa.feedback import Init, check_choice, check_init, draw
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class SignDirectFeedbackAlignment(DirectRule):
    r"""Every block receives a fixed random projection of the signs of the output error.

    .. math:: \delta^l = \frac{1}{n} (B^l \, \mathrm{sign}(e)) \odot f'(a^l), \qquad e = \partial L / \partial a^k

    with n the number of all rows. Rows that the loss ignores are among them, and the sign of their e is zero. The division by n
    stands for the mean over rows in the loss, which the sign removes. The published code does not divide (``scale=n`` restores
    it). The rule is not linear in e: the loss must pass through ``attached.loss``.

    Args:
        seed: Fixes every B, together with the block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors of shape ``(width of h, outputs)``.
        scale: Factor on the initialiser.
        spatial: ``"dense"``: every unit of a feature map has its own row of B. ``"shared"``: every channel has its own row.

    References: Frenkel, Lefebvre & Bol 2021 (arXiv 1909.01311), "sDFA", and its code.
    """

    linear: ClassVar[bool] = False

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    spatial: Literal["dense", "shared"] = "dense"

    def __post_init__(self) -> None:
        check_init(self.init)
        check_choice("spatial", self.spatial, ("dense", "shared"))

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, (width, outputs))

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return torch.sign(e) @ feedback.T / len(e)
