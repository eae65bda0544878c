"""Last layer only: the baseline of random features, which every other rule has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class LastLayerOnly(DirectRule):
    r"""Only the head learns. Hidden blocks keep their weights.

    .. math:: \delta^l = 0 \quad (l < k), \qquad \delta^k = e

    It is direct feedback alignment with B = 0.

    All parameters outside the head have ``requires_grad=False`` while the rule is attached, and only then. They have no
    ``.grad``, so that weight decay and momentum leave them bitwise unchanged, DDP does not wait for them, and no activation
    is stored. Running statistics of normalisation layers still follow the data.

    References: "shallow" in Frenkel, Lefebvre & Bol 2021 and its code.
    """

    hears: ClassVar[str] = "nothing"
    complex_valued = True
    error = "none"

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return torch.zeros(width, outputs)

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback.T
