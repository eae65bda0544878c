"""Error broadcast and decorrelation (EBD): direct feedback alignment by a running correlation of output and error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from torch import Tensor

from lightning_fa.feedback import Init, check_choice, check_init, draw
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class ErrorBroadcastDecorrelation(DirectRule):
    r"""Every block receives the output error through R, the running correlation of the block's output and the error.

    .. math:: \delta^l = (R^l e) \odot f'(a^l), \qquad R^l \leftarrow \lambda R^l + (1 - \lambda) \sum_n h^l_n e_n^T

    with :math:`e_n = \partial L / \partial a^k_n`, which contains the mean over the rows. Apart from the factor
    :math:`1 - \lambda`, which is left to the learning rate, :math:`R^l e_n` is the gradient of :math:`\tfrac{1}{2} |R^l|^2` at
    :math:`h^l_n`, with e held fixed. R moves when the optimizer that holds R steps. The rate, weight decay and moments of this
    optimizer do not change R. The clipping of gradients does: R moves by the clipped gradient.

    Only the initial R directs the learning. In the last hidden block, after T steps of SGD with rate :math:`\eta` and a linear
    head, R is :math:`\lambda^T R_0` minus :math:`(1 - \lambda) / \eta` times the transpose of the change of the head's weight,
    to first order in :math:`1 - \lambda`. What is added to :math:`\lambda^T R_0` is therefore backpropagation's feedback with
    the opposite sign. With :math:`\lambda` near 1 the rule behaves as `dfa`. The paper also minimises terms on the power and the
    entropy of h, which a user can add to the loss.

    Args:
        seed: Fixes every R at the start, together with the block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors of shape ``(width of h, outputs)``.
        scale: Factor on the initialiser. The paper has 0.01, whose small errors a large rate must make up for.
        forgetting: :math:`\lambda`, from 0 to 1.
        spatial: ``"dense"``: every unit of a feature map has its own row of R. ``"shared"``: every channel has its own row.

    Raises:
        ValueError: ``forgetting`` is not between 0 and 1.

    References: Erdogan, Pehlevan & Erdogan 2025 (arXiv 2504.11558), section 2.2, eqs. 6-8.
    """

    learned: ClassVar[bool] = True

    seed: int = 0
    init: Init = "xavier"
    scale: float = 1.0
    forgetting: float = 0.99999
    spatial: Literal["dense", "shared"] = "dense"

    def __post_init__(self) -> None:
        check_init(self.init)
        check_choice("spatial", self.spatial, ("dense", "shared"))
        if not 0 <= self.forgetting <= 1:
            raise ValueError(f"Expected argument `forgetting` to be a number from 0 to 1, but got {self.forgetting!r}.")

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return draw(self.init, self.scale, self.seed, name, (width, outputs))

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback.T

    def lesson(self, e: Tensor, h: Tensor, feedback: Tensor) -> Tensor:
        return h.T @ e
