"""Direct feedback alignment: the output error goes straight to every block through a fixed random matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from lightning_fa.feedback import Init, check_choice, check_init, check_shared, draw, draw_shared
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class DirectFeedbackAlignment(DirectRule):
    r"""Every block receives a fixed random projection of the output error.

    .. math:: \delta^l = (B^l e) \odot f'(a^l), \qquad e = \partial L / \partial a^k

    Launay's practice is ``init="normalised", shared=True, reduction="sum"``.

    Args:
        seed: Fixes every B, together with the block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors of shape ``(width of h, outputs)``.
        scale: Factor on the initialiser.
        shared: Whether all blocks use the first rows of one matrix, rescaled to their width, instead of a matrix each.
        reduction: ``"sum"`` multiplies the error of hidden blocks, not of the head, by the number n of all rows. This undoes a
            mean over all rows. If the loss ignores rows, divide its sum by n: a mean over m rows gives n/m times the error.
        spatial: ``"dense"``: every unit of a feature map has its own row of B. ``"shared"``: every channel has its own row.

    References: Nokland 2016 (arXiv 1609.01596), eq. 8; Gilmer et al. 2017, eq. 3; Launay et al. 2019 and its code.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    shared: bool = False
    reduction: Literal["mean", "sum"] = "mean"
    spatial: Literal["dense", "shared"] = "dense"

    complex_valued = True

    def __post_init__(self) -> None:
        (check_shared if self.shared else check_init)(self.init)
        check_choice("reduction", self.reduction, ("mean", "sum"))
        check_choice("spatial", self.spatial, ("dense", "shared"))

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        if self.shared:
            return draw_shared(self.init, self.scale, self.seed, (width, outputs))
        return draw(self.init, self.scale, self.seed, name, (width, outputs))

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        d = e @ feedback.T
        return d * len(e) if self.reduction == "sum" else d
