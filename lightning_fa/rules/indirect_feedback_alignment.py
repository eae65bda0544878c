"""Indirect feedback alignment: the error enters at the first hidden layer and travels forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class IndirectFeedbackAlignment(DirectRule):
    r"""The first block receives a random projection of the error. The network's own weights carry the error upwards from it.

    .. math:: \delta^1 = (B e) \odot f'(a^1), \qquad \delta^{l+1} = (W^{l+1} \delta^l) \odot f'(a^{l+1})

    Each block below the head must be one ``Linear`` or convolution. Between two blocks the size must not change.

    Args:
        seed: Fixes B, together with the first block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or a tensor of shape ``(width of h^1, outputs)``.
        scale: Factor on the initialiser.

    References: Nokland 2016 (arXiv 1609.01596), "indirect feedback alignment".
    """

    hears: ClassVar[str] = "the block below"

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_init(self.init)

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, (width, outputs))

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback.T
