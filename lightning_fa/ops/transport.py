"""Weight layers whose backward carries the error through a matrix B in place of their weight W.

Forward, weight gradient and bias gradient are the layer's own; only the error handed to the layer below changes::

    backprop       dL/dx = W^T delta          here       dL/dx = B^T delta          (B has the shape of W)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


class _Linear(Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, _, _, feedback = inputs
        ctx.save_for_backward(x, feedback)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, feedback = ctx.saved_tensors
        need_x, need_weight, need_bias, _ = ctx.needs_input_grad
        rows = delta.reshape(-1, delta.shape[-1])
        grad_x = (rows @ feedback).view(x.shape) if need_x else None
        grad_weight = rows.t() @ x.reshape(-1, x.shape[-1]) if need_weight else None
        grad_bias = rows.sum(0) if need_bias else None
        return grad_x, grad_weight, grad_bias, None


class Geometry(NamedTuple):
    """What ``torch.convolution`` is told beside its tensors, in its order."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int


class _Convolution(Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor, geometry: Geometry) -> Tensor:
        return torch.convolution(x, weight, bias, *geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, _, bias, feedback, ctx.geometry = inputs
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        ctx.save_for_backward(x, feedback)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, feedback = ctx.saved_tensors
        # The operator's weight argument only serves grad_x, so that handing it B changes nothing else.
        grad_x, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
            delta, x, feedback, ctx.bias_sizes, *ctx.geometry, list(ctx.needs_input_grad[:3])
        )
        return grad_x, grad_weight, grad_bias, None, None


def _autocast(*tensors: Tensor | None) -> list[Any]:
    # Autocast would cast inside forward only, and backward would meet two dtypes. Casting outside of the function
    # gives the dtypes that autocast gives, and gradients of the parameters in the parameters' own dtype.
    device = next(t for t in tensors if t is not None).device.type
    if not torch.is_autocast_enabled(device):
        return list(tensors)
    dtype = torch.get_autocast_dtype(device)
    return [t if t is None or t.dtype == torch.float64 else t.to(dtype) for t in tensors]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor) -> Tensor:
    """``x W^T + b`` for ``x`` of shape ``(..., n)``; backward sends ``delta B`` down. ``feedback``: ``(m, n)`` as ``weight``."""
    out: Tensor = _Linear.apply(*_autocast(x, weight, bias, feedback))
    return out


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor, geometry: Geometry) -> Tensor:
    """``torch.convolution`` (any dimension, transposed or not); backward sends the convolution of delta with B down."""
    out: Tensor = _Convolution.apply(*_autocast(x, weight, bias, feedback), geometry)
    return out
