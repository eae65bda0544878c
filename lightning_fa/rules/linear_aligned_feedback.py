"""Linear aligned feedback systems (LAFS): every block minimises the loss of a fixed random linear readout of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from lightning_fa.feedback import Init, check_init, draw
from lightning_fa.rules import readouts
from lightning_fa.rules.base import LocalRule


@final
@dataclass(frozen=True, kw_only=True)
class LinearAlignedFeedback(LocalRule):
    r"""Block i is trained so that its fixed readout :math:`B^i` predicts the targets. No error passes between blocks.

    .. math:: L^i = L(f_y((B^i)^T h^i), y), \qquad \delta^i = (B^i e^i) \odot f'(a^i), \qquad
              e^i = \partial L^i / \partial \big((B^i)^T h^i\big)

    For softmax and cross-entropy :math:`e^i = \mathrm{softmax}((B^i)^T h^i) - y`. The rule needs the targets, and the loss
    must pass through ``attached.loss``. The paper's eq. 6 prints :math:`h^{i-1}`, whose shape does not fit :math:`B^i`.
    Its eq. 9 and its text use :math:`h^i`, as does this rule.

    Args:
        seed: Fixes every B, together with the block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors of shape ``(width of h, outputs)``.
        scale: Factor on the initialiser.
        loss: The readouts' loss, averaged over the rows that count: ``cross_entropy`` of two or more classes (-100 is
            ignored: set labels that your own loss masks out to -100), ``mse`` or ``binary_cross_entropy`` of one value per
            output (NaN is ignored). This setting is independent of the network's own loss.

    References: Gilmer et al. 2017, eqs. 6-9.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    loss: Literal["cross_entropy", "mse", "binary_cross_entropy"] = "cross_entropy"

    def __post_init__(self) -> None:
        check_init(self.init)
        readouts.check_loss(self.loss)

    @property
    def takes(self) -> str:  # type: ignore[override]
        return readouts.takes(self.loss)

    @property
    def advice(self) -> str:  # type: ignore[override]
        return readouts.advice(self.loss, type(self).__name__)

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        readouts.check_outputs(self.loss, outputs, name, type(self).__name__)
        return draw(self.init, self.scale, self.seed, name, (width, outputs))

    def local_loss(self, h: Tensor, targets: Tensor, feedback: Tensor) -> Tensor:
        return readouts.readout_loss(self.loss, h @ feedback, targets)
