"""Direct Kolen-Pollack: direct feedback alignment whose feedback learns from the block's output and the error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from torch import Tensor

from lightning_fa.feedback import Init, check_choice, check_init, draw
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class DirectKolenPollack(DirectRule):
    r"""Direct feedback alignment with learned B, whose gradient is the outer product of h and e.

    .. math:: \delta^l = (B^l e) \odot f'(a^l), \qquad \partial B^l = h^l e^T

    B is a parameter of the model, trained by its optimizer. At the last hidden block, :math:`\partial B = (\partial W^k)^T`
    under a linear head. With learning rate :math:`\eta` and weight decay :math:`\lambda` on both, SGD multiplies
    :math:`B - (W^k)^T` by exactly :math:`1 - \eta\lambda` per step. Without weight decay this difference does not change.

    Args:
        seed: Fixes every B, together with the block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors of shape ``(width of h, outputs)``.
        scale: Factor on the initialiser.
        spatial: ``"dense"``: every unit of a feature map has its own row of B. ``"shared"``: every channel has its own row.

    References: Webster, Choi & Ahn 2021, "Learning the connections in direct feedback alignment"; Kolen & Pollack 1994.
    """

    learned: ClassVar[bool] = True

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    spatial: Literal["dense", "shared"] = "dense"

    def __post_init__(self) -> None:
        check_init(self.init)
        check_choice("spatial", self.spatial, ("dense", "shared"))

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, (width, outputs))

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback.T

    def lesson(self, e: Tensor, h: Tensor, feedback: Tensor) -> Tensor:
        return h.T @ e
