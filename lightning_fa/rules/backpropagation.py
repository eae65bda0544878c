"""Backpropagation through the library's own path: the control of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from lightning_fa.rules.base import TransportRule


@final
@dataclass(frozen=True, kw_only=True)
class Backpropagation(TransportRule):
    r"""The error travels through the transpose of the weights.

    .. math:: \delta^l = (W^{l+1})^T \delta^{l+1} \odot f'(a^l)

    Gradients are bitwise equal to plain autograd's. A difference to another rule is therefore due to the rule, not the code path.

    References: Rumelhart, Hinton & Williams 1986.
    """

    symbol: ClassVar[str] = "W"
    control: ClassVar[bool] = True
    complex_valued = True
    error = "the true error"  # type: ignore[assignment]

    def carrier(self, weight: Tensor, feedback: Tensor | None) -> Tensor:
        return weight.detach()
