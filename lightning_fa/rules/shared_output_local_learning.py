"""Shared-output local learning (SOLO): every block descends the loss of a stale copy of the head's own readout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from lightning_fa.feedback import draw
from lightning_fa.rules import readouts
from lightning_fa.rules.base import LocalRule


@final
@dataclass(frozen=True, kw_only=True)
class SharedOutputLocalLearning(LocalRule):
    r"""`lafs` with the head's weights for readout: no error travels down, a copy of W does, every :attr:`refresh` passes.

    .. math:: L^l = L\big(f_y(\bar W z^l), y\big), \qquad z^l = P^l h^l / \mathrm{rms}(h^l), \qquad
              \delta^l = \frac{\partial L^l}{\partial h^l} \odot f'(a^l), \qquad
              \bar W \leftarrow W^k \text{ every } n \text{ passes}

    :math:`\bar W` is read only: the head alone learns W, from the true loss. rms is the root mean square over a row's units.
    P is the identity where a block is as wide as what enters the head, as in the paper, whose blocks all are. Elsewhere, and
    that is ours, P is fixed and random with variance 1/width, so that z keeps its length.

    The paper's text was not had; two published summaries of it were (eq. 2 and the refresh of its copy among them). Its
    auxiliary heads have more that learns: two transformer blocks, the gain of the normalisation, a temperature and a bias.
    Here they have nothing. Each block holds a copy of its own, which checkpoints keep. The head must be an ``nn.Linear``; its
    bias is not read. A pass is a forward pass with gradients on, whether or not the optimizer steps after it (accumulation, a
    GradScaler that skips).

    Args:
        seed: Fixes every P, together with the block's name and nothing else.
        refresh: n, for how many passes a copy serves. 1: every loss reads the W of this very pass. The paper finds up to 50
            harmless.
        loss: The readouts' loss, averaged over the rows that count: ``cross_entropy`` of two or more classes (-100 is
            ignored, as are the labels that your own loss masks away if you hand them over as -100), ``mse`` or
            ``binary_cross_entropy`` of one value per output (NaN is ignored). The network's own loss does not decide it.

    References: Yin, Wang, Pan & Li 2026 (arXiv 2609.35440).
    """

    seed: int = 0
    refresh: int = 1
    loss: Literal["cross_entropy", "mse", "binary_cross_entropy"] = "cross_entropy"

    hears: ClassVar[str] = "the head"

    def __post_init__(self) -> None:
        readouts.check_loss(self.loss)
        if self.refresh < 1:
            raise ValueError(f"Expected argument `refresh` to be 1 pass or more, but got {self.refresh}.")

    @property
    def takes(self) -> str:  # type: ignore[override]
        return readouts.takes(self.loss)

    @property
    def advice(self) -> str:  # type: ignore[override]
        return readouts.advice(self.loss, type(self).__name__)

    def initial(self, name: str, width: tuple[int, int], outputs: int) -> dict[str, Tensor]:
        readouts.check_outputs(self.loss, outputs, name, type(self).__name__)
        own, read = width
        theta = {"W": torch.zeros(outputs, read), "passes": torch.zeros((), dtype=torch.int64)}
        return theta if own == read else theta | {"P": draw("gaussian", own**-0.5, self.seed, name, (own, read))}

    def renew(self, head: Tensor, feedback: Mapping[str, Tensor]) -> dict[str, Tensor]:
        due = feedback["passes"] % self.refresh == 0
        copied = torch.where(due, head.to(feedback["W"]), feedback["W"])
        return {"W": copied, "passes": feedback["passes"] + 1}

    def local_loss(self, h: Tensor, targets: Tensor, feedback: Mapping[str, Tensor]) -> Tensor:
        z = h * (h.square().mean(1, keepdim=True) + 1e-6).rsqrt()
        z = z @ feedback["P"] if "P" in feedback else z
        return readouts.readout_loss(self.loss, z @ feedback["W"].T, targets)
