"""Kolen-Pollack: feedback that receives the gradient of the weights, and converges to the weights under weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw
from lightning_fa.rules.base import TransportRule


@final
@dataclass(frozen=True, kw_only=True)
class KolenPollack(TransportRule):
    r"""Feedback alignment in which B learns by the same gradient as W.

    .. math:: \delta^l = (B^{l+1})^T \delta^{l+1} \odot f'(a^l), \qquad
              \partial B^l := \partial W^l = \delta^l (h^{l-1})^T

    B is a parameter of the model, trained by its optimizer. In the difference D = B - W the gradients cancel. The weight
    decay :math:`\lambda`, which both must have, remains. With learning rate :math:`\eta`:

    * SGD: :math:`D \leftarrow (1 - \eta\lambda) D`, exactly.
    * SGD with momentum :math:`\mu`, where the decay passes through the velocity (PyTorch's does):
      :math:`v \leftarrow \mu v + \lambda D,\; D \leftarrow D - \eta v`, that is
      :math:`D_{t+1} = (1 + \mu - \eta\lambda) D_t - \mu D_{t-1}`, which shrinks by about
      :math:`1 - \eta\lambda/(1-\mu)` per step once the velocity has built up.
    * Decoupled decay (AdamW): :math:`D \leftarrow (1 - \eta\lambda) D`, exactly, because equal gradients make equal
      moments. Adam's coupled decay is divided by its own moments, and gives no such guarantee.

    Without weight decay D does not change. Clip by a norm over all parameters or not at all, so that both gradients scale
    alike. B of a weight that is tied to an embedding does not receive the gradient of the look-up, so that D does not vanish.

    Args:
        seed: Fixes every initial B, together with the layer's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors in the shape of the weights.
        scale: Factor on the initialiser.

    References: Kolen & Pollack 1994; Akrout et al. 2019 (arXiv 1904.05391), section 4.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0

    learned = True
    complex_valued = True

    def __post_init__(self) -> None:
        check_init(self.init)

    def initial(self, name: str, weight: Tensor) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, weight.shape, transposed=True)

    def carrier(self, weight: Tensor, feedback: Tensor) -> Tensor:
        # If W is frozen, B is frozen too, or they would diverge.
        return feedback if weight.requires_grad else feedback.detach()
