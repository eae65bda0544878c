"""Direct feedback alignment: the output error goes straight to every block through a fixed random matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class DirectFeedbackAlignment(DirectRule):
    r"""Every block is handed a fixed random projection of the output error.

    .. math:: \delta^l = (B^l e) \odot f'(a^l), \qquad e = \partial L / \partial a^k

    Args:
        seed: Fixes every B, together with the block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors of shape ``(width of h, outputs)``.
        scale: Factor on the initialiser.

    References: Nokland 2016 (arXiv 1609.01596), eq. 8; Gilmer et al. 2017, eq. 3.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_init(self.init)

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, (width, outputs))

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback.T
