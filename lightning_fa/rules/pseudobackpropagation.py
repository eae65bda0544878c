"""Pseudobackpropagation: the pseudoinverse of the weights carries the error down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lightning_fa.rules.base import TransportRule


@final
@dataclass(frozen=True, kw_only=True)
class Pseudobackpropagation(TransportRule):
    r"""Backpropagation with the Moore-Penrose pseudoinverse of W in place of its transpose.

    .. math:: \delta^l = (W^{l+1})^+ \delta^{l+1} \odot f'(a^l)

    so that B, in the shape of W, is :math:`((W)^+)^T`. For :math:`L = \frac12 \|e\|^2` with :math:`e = y^* - y` and
    :math:`\Delta h = W^+ e` this is the Gauss-Newton step in h: the Jacobian of e with respect to h is
    :math:`J = -W`, and :math:`\Delta h = -J^+ e` (Lillicrap et al. 2014, proof 2).

    A convolution's kernel is taken as the matrix ``(out, in * kernel)`` of one patch, for each group. This is the
    pseudoinverse of the map from a patch, not of the whole convolution, whose patches overlap. The matrix of a transposed
    convolution is ``(in, out * kernel)``. The stacked projections of an attention layer and the gates of a recurrent layer
    are one matrix, because they act on one input. Every layer but the lowest costs a singular value decomposition per
    forward pass.

    Args:
        rtol: Singular values below ``rtol`` times the largest count as zero. Default: max(m, n) times machine epsilon.

    References: Lillicrap et al. 2014 (arXiv 1411.0247), figure 4 and proof 2.
    """

    rtol: float | None = None

    symbol = "(W^+)^T"
    matrixwise = True

    def carrier(self, weight: Tensor, feedback: Tensor | None) -> Tensor:
        full = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
        return torch.linalg.pinv(full, rtol=self.rtol).mT.to(weight.dtype)
