"""Kickback: one global error, the sum over the outputs, is broadcast to every unit unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from lightning_fa.feedback import check_choice
from lightning_fa.ops import refuse_zero_sum
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class Kickback(DirectRule):
    r"""Direct feedback alignment with a feedback matrix of ones.

    .. math:: \delta^l = (\mathbf{1} \textstyle\sum_k e_k) \odot f'(a^l), \qquad e = \partial L / \partial a^k

    For softmax and cross-entropy :math:`\sum_k e_k = \sum_k (\hat y_k - y_k) = 0`, so that no hidden block would receive an
    error. Backward raises if every row of e sums to zero within rounding. Use the rule for regression or independent outputs.
    A LayerNorm at the end of a block removes what is common to all units, and therefore this whole error. This is
    Czarnecki's form. Balduzzi weights the error by the unit's influence on the next layer.

    Args:
        scale: Factor on the ones.
        spatial: ``"dense"``: every unit of a feature map has its own row of B. ``"shared"``: every channel has its own row.

    References: Balduzzi, Vanchinathan & Buhmann 2014 (arXiv 1411.6191); Czarnecki et al. 2017, Table 1.
    """

    scale: float = 1.0
    spatial: Literal["dense", "shared"] = "dense"

    def __post_init__(self) -> None:
        check_choice("spatial", self.spatial, ("dense", "shared"))

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return torch.full((width, outputs), float(self.scale))

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return refuse_zero_sum(e) @ feedback.T
