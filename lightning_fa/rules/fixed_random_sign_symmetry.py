"""Fixed-random-magnitude sign symmetry (frSF): the signs of the weights, with magnitudes drawn once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw
from lightning_fa.rules.base import TransportRule


@final
@dataclass(frozen=True, kw_only=True)
class FixedRandomSignSymmetry(TransportRule):
    r"""Backpropagation in which W is replaced by its current signs, with fixed random magnitudes.

    .. math:: \delta^l = \big(|M^{l+1}| \odot \mathrm{sign}(W^{l+1})\big)^T \delta^{l+1} \odot f'(a^l)

    ``attached.feedback`` holds M.

    Args:
        seed: Fixes every M, together with the layer's name and nothing else.
        init: Initialiser of M by name (see :mod:`lightning_fa.feedback`; BioTorch uses Xavier's uniform), or tensors in
            the shape of the weights.
        scale: Factor on the initialiser.

    References: Liao et al. 2016 (arXiv 1510.05067), where M ~ U(0, 1) is followed by batch normalisation.
    """

    seed: int = 0
    init: Init = "xavier"
    scale: float = 1.0

    symbol = "(|M| sign(W))"

    def __post_init__(self) -> None:
        check_init(self.init)

    def initial(self, name: str, weight: Tensor) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, weight.shape, transposed=True)

    def carrier(self, weight: Tensor, feedback: Tensor) -> Tensor:
        return feedback.abs() * weight.detach().sign()
