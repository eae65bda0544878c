"""Sparse feedback alignment: half of the connections are missing, forward and backward, by independent masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw, generator
from lightning_fa.rules.base import TransportRule


@final
@dataclass(frozen=True, kw_only=True)
class SparseFeedbackAlignment(TransportRule):
    r"""Feedback alignment between layers that are not fully connected, by independent masks on W and B.

    .. math:: a^l = (m_W^l \odot W^l) h^{l-1} + b^l, \qquad
              \delta^l = (m_B^{l+1} \odot B^{l+1})^T \delta^{l+1} \odot f'(a^l), \qquad m \sim \mathrm{Bernoulli}(\rho)

    With :math:`\rho = 1/2` a quarter of the connections is reciprocal. **This rule changes the network**: masked weights
    are set to zero when the rule is attached, and are zero after it is detached. In between the mask is part of the forward
    pass, so that the gradients of masked weights are zero, and an optimizer's momentum, moments and weight decay of them too.
    Load weights before attaching, or load weights that were trained under the same seed. Masked weights that are written
    later act under ``torch.no_grad()`` only.

    Every governed weight matrix is masked, by default also that of the first layer. Name layers that shall stay dense in
    ``ungoverned``. The paper removes half of W, from hidden to output units, and half of B, and leaves the input weights
    whole: ``attach(model, SparseFeedbackAlignment(), ungoverned="layers.0")``. Exclude only the lowest layer, because the
    layers below an excluded layer receive the true gradient.

    Args:
        seed: Fixes every B and every mask, together with the layer's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors in the shape of the weights.
        scale: Factor on the initialiser.
        density: :math:`\rho`, the fraction of the entries of W, and of B, that exist.

    References: Lillicrap et al. 2014 (arXiv 1411.0247), figure 2a.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    density: float = 0.5

    def __post_init__(self) -> None:
        check_init(self.init)
        if not 0 < self.density <= 1:
            raise ValueError(f"Expected argument `density` to be in (0, 1], but got {self.density}.")

    def initial(self, name: str, weight: Tensor) -> Tensor:
        dense = draw(self.init, self.scale, self.seed, name, weight.shape, transposed=True)
        return dense * self._entries("B", name, weight).to(dense)

    def mask(self, name: str, weight: Tensor) -> Tensor:
        return self._entries("W", name, weight)

    def carrier(self, weight: Tensor, feedback: Tensor) -> Tensor:
        return feedback

    def _entries(self, which: str, name: str, weight: Tensor) -> Tensor:
        return torch.rand(weight.shape, generator=generator(self.seed, f"mask of {which}: {name}")) < self.density
