"""Low-rank direct feedback alignment: the error reaches every block through a matrix of low rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from lightning_fa.feedback import check_choice, generator
from lightning_fa.rules.base import DirectRule


@final
@dataclass(frozen=True, kw_only=True)
class LowRankDirectFeedbackAlignment(DirectRule):
    r"""Direct feedback alignment with a feedback matrix of rank r.

    .. math:: \delta^l = (Q^l P^l e) \odot f'(a^l), \qquad Q^l \in R^{n_l \times r}, \; P^l \in R^{r \times K}

    with :math:`Q_{ij} \sim N(0, 1/n_l)` and :math:`P_{ij} \sim N(0, 1/(3 r))`, so that entries of B = Q P have the variance
    :math:`1/(3 n_l)` of direct feedback alignment's default. Only the product B is stored.

    Args:
        seed: Fixes every Q and P, together with the block's name and nothing else.
        rank: r. If a block or the output is narrower, its width is used.
        scale: Factor on B.
        spatial: ``"dense"``: every unit of a feature map has its own row of B. ``"shared"``: every channel has its own row.

    References: Hanut & Kadmon 2025 (arXiv 2502.20580), whose Q and P may learn; here both are fixed.
    """

    seed: int = 0
    rank: int = 4
    scale: float = 1.0
    spatial: Literal["dense", "shared"] = "dense"

    def __post_init__(self) -> None:
        check_choice("spatial", self.spatial, ("dense", "shared"))
        if not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f"Expected argument `rank` to be an int of at least 1, but got {self.rank!r}.")

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        rank = min(self.rank, width, outputs)
        q = torch.randn(width, rank, generator=generator(self.seed, f"{name} Q")) / width**0.5
        p = torch.randn(rank, outputs, generator=generator(self.seed, f"{name} P")) / (3 * rank) ** 0.5
        return self.scale * q @ p

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        return e @ feedback.T
