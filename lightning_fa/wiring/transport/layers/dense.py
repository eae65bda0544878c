"""Linear layers and convolutions: one weight, one operator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_fa.ops import convolution, linear
from lightning_fa.ops.transport import Geometry
from lightning_fa.surgery import Behaviour


class TransportedLinear(Behaviour):
    """``nn.Linear`` with any leading dimensions."""

    bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[misc,no-any-return]
        weight, feedback = self._feedback_port(self, "weight", x)
        return linear(x, weight, self.bias, feedback)


class TransportedConvolution(Behaviour):
    """``nn.Conv1d/2d/3d`` with stride, dilation, groups and every padding mode."""

    bias: Tensor | None
    padding: str | tuple[int, ...]
    padding_mode: str
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    kernel_size: tuple[int, ...]
    _reversed_padding_repeated_twice: list[int]

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[misc,no-any-return]
        dims = len(self.kernel_size)
        batched = x.ndim == dims + 2
        padded, padding = self._pad(x if batched else x.unsqueeze(0))
        geometry = Geometry(self.stride, padding, self.dilation, False, (0,) * dims, self.groups)
        weight, feedback = self._feedback_port(self, "weight", x)
        out = convolution(padded, weight, self.bias, feedback, geometry)
        return out if batched else out.squeeze(0)

    def _pad(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        # The convolution operator only pads symmetrically with zeros. Other padding is applied before it, as in PyTorch.
        both = self._reversed_padding_repeated_twice
        none = (0,) * len(self.kernel_size)
        if self.padding_mode != "zeros":
            return F.pad(x, both, mode=self.padding_mode), none
        if isinstance(self.padding, tuple):
            return x, self.padding
        before, after = both[::2], both[1::2]
        if before == after:
            return x, tuple(reversed(before))
        return F.pad(x, both), none


class TransportedTransposedConvolution(Behaviour):
    """``nn.ConvTranspose1d/2d/3d`` with stride, dilation, groups, ``output_padding`` and ``output_size``."""

    bias: Tensor | None
    padding: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    kernel_size: tuple[int, ...]

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x, output_size)  # type: ignore[misc,no-any-return]
        dims = len(self.kernel_size)
        sizes = [list(size) for size in (self.stride, self.padding, self.kernel_size)]
        extra = self._output_padding(x, output_size, *sizes, dims, list(self.dilation))  # type: ignore[attr-defined]
        geometry = Geometry(self.stride, self.padding, self.dilation, True, tuple(extra), self.groups)
        weight, feedback = self._feedback_port(self, "weight", x)
        batched = x.ndim == dims + 2
        out = convolution(x if batched else x.unsqueeze(0), weight, self.bias, feedback, geometry)
        return out if batched else out.squeeze(0)


DENSE: dict[type[nn.Module], type[Behaviour]] = {
    nn.Linear: TransportedLinear,
    nn.Conv1d: TransportedConvolution,
    nn.Conv2d: TransportedConvolution,
    nn.Conv3d: TransportedConvolution,
    nn.ConvTranspose1d: TransportedTransposedConvolution,
    nn.ConvTranspose2d: TransportedTransposedConvolution,
    nn.ConvTranspose3d: TransportedTransposedConvolution,
}
