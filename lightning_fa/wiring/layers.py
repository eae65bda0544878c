"""The weight layers a transport rule governs: what each type's forward is, said once for all rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_fa.ops import convolution, linear
from lightning_fa.ops.transport import Geometry
from lightning_fa.surgery import Behaviour


class TransportedLinear(Behaviour):
    """``nn.Linear`` with any leading dimensions."""

    weight: Tensor
    bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[misc,no-any-return]
        return linear(x, self.weight, self.bias, self._feedback_port(self))


class TransportedConvolution(Behaviour):
    """``nn.Conv1d/2d/3d`` with stride, dilation, groups and every padding mode."""

    weight: Tensor
    bias: Tensor | None
    padding: str | tuple[int, ...]
    padding_mode: str
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    _reversed_padding_repeated_twice: list[int]

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[misc,no-any-return]
        dims = self.weight.ndim - 2
        batched = x.ndim == dims + 2
        padded, padding = self._pad(x if batched else x.unsqueeze(0))
        geometry = Geometry(self.stride, padding, self.dilation, False, (0,) * dims, self.groups)
        out = convolution(padded, self.weight, self.bias, self._feedback_port(self), geometry)
        return out if batched else out.squeeze(0)

    def _pad(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        # The convolution operator pads with zeros and symmetrically; anything else is padded before it, as PyTorch does.
        both = self._reversed_padding_repeated_twice
        if self.padding_mode != "zeros":
            return F.pad(x, both, mode=self.padding_mode), (0,) * (self.weight.ndim - 2)
        if isinstance(self.padding, tuple):
            return x, self.padding
        before, after = both[::2], both[1::2]
        if before == after:
            return x, tuple(reversed(before))
        return F.pad(x, both), (0,) * (self.weight.ndim - 2)


LAYERS: dict[type[nn.Module], type[Behaviour]] = {
    nn.Linear: TransportedLinear,
    nn.Conv1d: TransportedConvolution,
    nn.Conv2d: TransportedConvolution,
    nn.Conv3d: TransportedConvolution,
}

INPUT_ONLY = (nn.Embedding, nn.EmbeddingBag)
"""Layers whose input is an index: no error passes below them, so that every rule governs them as they are."""


def behaviour_of(module: nn.Module) -> Callable[..., Any] | None:
    """The behaviour for this layer's type or the nearest of its bases, ``None`` for a type not known."""
    return next((LAYERS[base] for base in type(module).__mro__ if base in LAYERS), None)
