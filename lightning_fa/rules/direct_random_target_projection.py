"""Direct random target projection (DRTP): hidden blocks are trained by the targets, with no error at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from lightning_fa.feedback import Init, check_choice, check_init, draw
from lightning_fa.labels import known, one_hot
from lightning_fa.rules.base import LocalRule


@final
@dataclass(frozen=True, kw_only=True)
class DirectRandomTargetProjection(LocalRule):
    r"""Every block receives a fixed random projection of the targets, before the output is known.

    .. math:: \delta^l = (B^l y^*) \odot f'(a^l)

    with :math:`y^*` the one-hot class or the target vector. This is the gradient of :math:`L^l = \langle h^l, B^l y^* \rangle`.
    As in the published code, gradient descent therefore moves h away from :math:`B^l y^*`; under the initialisers B is as likely
    as -B. A row of class -100, or of NaN alone, receives nothing and is left out of the mean: set targets that your own loss
    masks out to -100 or NaN. The targets of a network with one output are values, in floats.

    Args:
        seed: Fixes every B, together with the block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors of shape ``(width of h, outputs)``.
        scale: Factor on the initialiser.
        reduction: ``"mean"`` divides by the number of rows that count, as the loss does. ``"sum"`` does not divide, as in the
            published code.
        spatial: ``"dense"``: every unit of a feature map has its own row of B. ``"shared"``: every channel has its own row.

    References: Frenkel, Lefebvre & Bol 2021 (Frontiers in Neuroscience 15; arXiv 1909.01311) and its code.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    reduction: Literal["mean", "sum"] = "mean"
    spatial: Literal["dense", "shared"] = "dense"

    def __post_init__(self) -> None:
        check_init(self.init)
        check_choice("reduction", self.reduction, ("mean", "sum"))
        check_choice("spatial", self.spatial, ("dense", "shared"))

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, (width, outputs))

    def local_loss(self, h: Tensor, targets: Tensor, feedback: Tensor) -> Tensor:
        count = known(targets)
        if targets.ndim > 1:
            y, count = torch.where(count, targets, 0.0), count.any(1)
        else:
            y = one_hot(targets, feedback.shape[1])
        # a dot product, because an elementwise product would be written to memory and read again
        loss = torch.dot(h.flatten(), (y.to(h.dtype) @ feedback.T).flatten())
        return loss / count.sum().clamp(min=1) if self.reduction == "mean" else loss
