"""Batch-random-magnitude sign symmetry (brSF): the signs of the weights, with magnitudes drawn anew for every batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from lightning_fa.rules.base import TransportRule
from lightning_fa.stream import stream, uniform


@final
@dataclass(frozen=True, kw_only=True)
class BatchRandomSignSymmetry(TransportRule):
    r"""Backpropagation in which W is replaced by its current signs, with new random magnitudes in every training step.

    .. math:: \delta^l = \big(|M_t^{l+1}| \odot \mathrm{sign}(W^{l+1})\big)^T \delta^{l+1} \odot f'(a^l), \qquad
              |M_t| \sim U\big(0, s \sqrt{6/(m + n)}\big)

    for an ``(m, n)`` matrix, where n includes the kernel. These are the magnitudes of Xavier's uniform initialisation, as in
    BioTorch. M is not stored: it is a hash of (seed, layer name, t, index), see :mod:`lightning_fa.stream`.
    ``attached.state_dict()`` holds the state of the streams, whose last entry is t. A step is a forward pass with gradients
    on. Each batch of an accumulated gradient therefore has its own magnitudes, and a step that a GradScaler skips counts too.

    Args:
        seed: Fixes every M, together with the layer's name and the step.
        scale: s.

    References: Liao et al. 2016 (arXiv 1510.05067), where M ~ U(0, 1) is followed by batch normalisation.
    """

    seed: int = 0
    scale: float = 1.0

    stochastic = True
    symbol = "(|M_t| sign(W))"

    def stream(self, name: str) -> Tensor:
        return stream(self.seed, name)

    def redraw(self, weight: Tensor, state: Tensor) -> Tensor:
        bound = self.scale * (6 / (weight.shape[0] + weight.shape[1:].numel())) ** 0.5
        return uniform(state, weight.shape).to(weight.dtype) * bound

    def carrier(self, weight: Tensor, feedback: Tensor) -> Tensor:
        return feedback * weight.detach().sign()
