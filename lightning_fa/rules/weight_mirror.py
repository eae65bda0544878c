"""Weight mirror: feedback that learns the weights from noise sent through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw
from lightning_fa.rules.base import TransportRule
from lightning_fa.stream import stream, uniform


@final
@dataclass(frozen=True, kw_only=True)
class WeightMirror(TransportRule):
    r"""Feedback alignment in which B learns from the correlation of noise before and after the layer.

    .. math:: \delta^l = (B^{l+1})^T \delta^{l+1} \odot f'(a^l), \qquad
              \partial B^l := \kappa B^l - \frac1K \sum_k (W^l \xi_k) \xi_k^T, \qquad \xi_k \sim U(-\sqrt3, \sqrt3)^n

    Since :math:`E[\xi\xi^T] = 1`, B tends to :math:`W / (\kappa + \lambda)`, where :math:`\lambda` is the weight decay
    that the optimizer applies to B. Without any decay B grows without bound. With :math:`\kappa = 0`, as in the paper, only the
    optimizer's decay remains, and :math:`B \to W/\lambda`.

    B is a parameter of the model, trained by its optimizer. The paper alternates phases of engagement and mirroring. Here
    both happen in every step, so that each parameter has one gradient. The noise passes through the layer's matrix, not
    through its bias and activation. For a convolution a noise vector is one patch. The lesson uses no activations of the
    network, but the loss must pass through ``attached.loss``, for the factor before the loss. New noise is drawn in every
    forward pass with gradients on, whether or not the optimizer steps after it (accumulation, a GradScaler that skips).

    Args:
        seed: Fixes every initial B and all noise, together with the layer's name and the step.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors in the shape of the weights.
        scale: Factor on the initialiser.
        samples: K, the number of noise vectors sent through a layer per step.
        decay: :math:`\kappa`.

    References: Akrout et al. 2019 (arXiv 1904.05391), section 3.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    samples: int = 32
    decay: float = 1.0

    learned = True
    stochastic = True
    taught = True

    def __post_init__(self) -> None:
        check_init(self.init)
        if self.samples < 1:
            raise ValueError(f"Expected argument `samples` to be at least 1, but got {self.samples}.")

    def initial(self, name: str, weight: Tensor) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, weight.shape, transposed=True)

    def carrier(self, weight: Tensor, feedback: Tensor) -> Tensor:
        return feedback

    def stream(self, name: str) -> Tensor:
        return stream(self.seed, name)

    def lesson(self, weight: Tensor, feedback: Tensor, state: Tensor) -> Tensor:
        matrix = weight.flatten(1).to(torch.promote_types(weight.dtype, torch.float32))
        noise = (2 * uniform(state, (self.samples, matrix.shape[1])).to(matrix.dtype) - 1) * 3**0.5
        mirrored = (noise @ matrix.t()).t() @ noise / self.samples
        return self.decay * feedback - mirrored.reshape(weight.shape)
