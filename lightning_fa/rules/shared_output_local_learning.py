"""Shared-output local learning (SOLO): every block minimises the loss of a readout by an old copy of the head's weight."""

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
    r"""`lafs` with the head's weight as readout. No error is sent down. Blocks copy W once every :attr:`refresh` passes.

    .. math:: L^l = L\big(f_y(\bar W z^l), y\big), \qquad z^l = P^l h^l / \mathrm{rms}(h^l), \qquad
              \delta^l = \frac{\partial L^l}{\partial h^l} \odot f'(a^l), \qquad
              \bar W \leftarrow W^k \text{ every } n \text{ passes}

    :math:`\bar W` does not learn. The head alone learns W, from the true loss. rms is the root mean square over a row's units.
    P is the identity if a block is as wide as the head's input, as all blocks of the paper are. For other blocks, which the
    paper does not have, P is fixed and random with variance 1/width, so that z keeps its length.

    This rule follows two published summaries of the paper, which give eq. 2 and the refresh of the copy. The paper's text was
    not available. The paper's auxiliary heads also learn two transformer blocks, the gain of the normalisation, a temperature
    and a bias. Here the readouts learn nothing. Each block holds its own copy, which checkpoints keep. The head must be an
    ``nn.Linear``, whose bias is not read. A pass is a forward pass with gradients on, whether or not the optimizer steps after
    it (accumulation, a GradScaler that skips).

    Args:
        seed: Fixes every P, together with the block's name and nothing else.
        refresh: n, the number of passes for which a copy is used. 1: every loss reads the W of the same pass. The paper finds
            up to 50 harmless.
        loss: The readouts' loss, averaged over the rows that count: ``cross_entropy`` of two or more classes (-100 is
            ignored: set labels that your own loss masks out to -100), ``mse`` or ``binary_cross_entropy`` of one value per
            output (NaN is ignored). This setting is independent of the network's own loss.

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
