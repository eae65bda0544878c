"""Sparse direct feedback alignment: every unit receives only a few components of the error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from lightning_fa.feedback import Init, check_choice, check_init, draw, generator
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class SparseDirectFeedbackAlignment(DirectRule):
    r"""Direct feedback alignment with a feedback matrix that has a few entries in each row.

    .. math:: \delta^l = (B^l e) \odot f'(a^l), \qquad \|B^l_{j \cdot}\|_0 = m

    The entries are chosen uniformly. They are multiplied by :math:`\sqrt{K/m}` for K outputs, so that the expected length of
    the error is that of a dense B.

    Args:
        seed: Fixes every B, together with the block's name and nothing else.
        init: Initialiser by name (see :mod:`lightning_fa.feedback`), or tensors of shape ``(width of h, outputs)``.
        scale: Factor on the initialiser.
        connections: m, the number of outputs from which each unit receives an error; at most K are used.
        spatial: ``"dense"``: every unit of a feature map has its own row of B. ``"shared"``: every channel has its own row.

    References: Crafton, Parihar, Gebhardt & Raychowdhury 2019 (Frontiers in Neuroscience 13:525), where m = 1.
    """

    seed: int = 0
    init: Init = "uniform"
    scale: float = 1.0
    connections: int = 1
    spatial: Literal["dense", "shared"] = "dense"

    def __post_init__(self) -> None:
        check_init(self.init)
        check_choice("spatial", self.spatial, ("dense", "shared"))
        if self.connections < 1:
            raise ValueError(f"Expected argument `connections` to be at least 1, but got {self.connections}.")

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        dense = draw(self.init, self.scale, self.seed, name, (width, outputs))
        kept = min(self.connections, outputs)
        chosen = torch.rand(width, outputs, generator=generator(self.seed, f"{name} connections")).topk(kept).indices
        mask = torch.zeros(width, outputs, dtype=dense.dtype).scatter_(1, chosen, (outputs / kept) ** 0.5)
        return dense * mask.to(dense.device)

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback.T
