"""Pre-alignment: weights that are aligned with the feedback before training begins (in the code of Launay et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor


def pre_aligned(delivered: Tensor, delta: Tensor) -> Tensor:
    r"""The weight of unit norm whose transpose best maps the errors at a layer's output to the errors delivered at its input.

    .. math:: W^T \propto \Delta_{DFA} \, \Delta_{BP}^{+}, \qquad \|W\|_F = 1

    Before the normalisation this is the least-squares solution of :math:`W^T \delta = d` over the samples.

    Args:
        delivered: d, the error that the rule delivers at the layer's input, ``(samples, n)``.
        delta: The error at the layer's output, ``(samples, m)``.

    Returns:
        W, ``(m, n)``.

    References: Launay, Poli & Krzakala 2019, `principled-dfa-training`.
    """
    weight = (torch.linalg.pinv(delta) @ delivered).conj()  # a complex W sends its conjugate transpose times delta
    return weight / weight.norm()
