"""Uniform sign symmetry (uSF): the signs of the weights, with one magnitude per layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from lightning_fa.rules.base import TransportRule


@final
@dataclass(frozen=True, kw_only=True)
class UniformSignSymmetry(TransportRule):
    r"""Backpropagation in which W is replaced by its signs, with one magnitude per layer.

    .. math:: \delta^l = c^{l+1} \, \mathrm{sign}(W^{l+1})^T \delta^{l+1} \odot f'(a^l)

    Args:
        magnitude: c of a layer with an ``(m, n)`` matrix, where n includes the kernel. ``"xavier"`` is
            :math:`\sqrt{2/(m + n)}`, the fixed standard deviation of Glorot's initialisation (Xiao et al. 2018, as in
            BioTorch). ``"rms"`` is the current root mean square of W, so that :math:`\|B\| = \|W\|` at every step
            (Moskovitz et al. 2018, strict normalisation). A number is c itself. Liao et al. 2016 use 1, with batch
            normalisation after every layer and only the signs of the gradients.

    References: Liao et al. 2016 (arXiv 1510.05067); Xiao et al. 2018 (arXiv 1811.03567).
    """

    magnitude: Literal["xavier", "rms"] | float = "xavier"

    symbol = "c sign(W)"

    def __post_init__(self) -> None:
        if isinstance(self.magnitude, str) and self.magnitude not in ("xavier", "rms"):
            raise ValueError(
                f"Expected argument `magnitude` to be 'xavier', 'rms' or a number, but got {self.magnitude!r}."
            )

    def carrier(self, weight: Tensor, feedback: Tensor | None) -> Tensor:
        weight = weight.detach()
        if self.magnitude == "rms":
            return weight.sign() * weight.square().mean().sqrt()
        if self.magnitude == "xavier":
            return weight.sign() * (2 / (len(weight) + weight[0].numel())) ** 0.5
        return torch.sign(weight) * float(self.magnitude)
