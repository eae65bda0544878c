"""Feedback alignment: fixed random matrices carry the error down, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw
from lightning_fa.rules.base import TransportRule


@final
@dataclass(frozen=True, kw_only=True)
class FeedbackAlignment(TransportRule):
    r"""Backpropagation with a fixed random B in place of W.

    .. math:: \delta^l = (B^{l+1})^T \delta^{l+1} \odot f'(a^l)

    where :math:`B^{l+1}` has the shape of :math:`W^{l+1}` (Lillicrap's B is the transpose of this one).

    Args:
        seed: Fixes every B, together with the layer's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`; the width is the layer's fan-in, so that the default
            is PyTorch's own default for W, as in Nokland 2016), or tensors in the shape of the weights.
        scale: Factor on the initialiser.
        signed: Whether B takes the signs that W has when the rule is attached (signed initialisation), and keeps them.

    References: Lillicrap et al. 2014 (arXiv 1411.0247), eq. 3; Cheung & Jiang 2019, eq. 5.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    signed: bool = False

    complex_valued = True

    def __post_init__(self) -> None:
        check_init(self.init)

    def initial(self, name: str, weight: Tensor) -> Tensor:
        drawn = draw(self.init, self.scale, self.seed, name, weight.shape, transposed=True)
        return drawn.abs() * weight.detach().cpu().sign() if self.signed else drawn

    def carrier(self, weight: Tensor, feedback: Tensor) -> Tensor:
        return feedback
