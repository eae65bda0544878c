"""Weight layers whose backward carries the error through a matrix B in place of their weight W.

Forward, weight gradient and bias gradient are unchanged. Only the error sent to the layer below changes::

    backprop       dL/dx = W^T delta          here       dL/dx = B^T delta          (B has the shape of W)

A complex linear layer sends the conjugate transpose of B times delta, and its weight gradient is delta times the conjugate of x.

If B requires a gradient, it receives the gradient of W (Kolen-Pollack) or, through :func:`lesson`, a gradient of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from lightning_fa.ops.route import NOT_JOINED


class _Linear(Function):  # without `setup_context`, for which PyTorch inspects the signature of `forward` in every call
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor) -> Tensor:
        ctx.sparse = x.layout != torch.strided  # asked here, because dynamo forbids it in backward
        ctx.save_for_backward(x, feedback)
        out = F.linear(x, weight, bias)
        # F.linear returns a view of rows in the shape of x. Autograd would forbid in-place operations on a view that a
        # Function returns. The rows have no other owner, so that the result need not be a view.
        return out if out.ndim == 2 else torch.ops.aten._unsafe_view(out, out.shape)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, feedback = ctx.saved_tensors
        need_x, need_weight, need_bias, need_feedback = ctx.needs_input_grad
        rows = delta.reshape(-1, delta.shape[-1])
        grad_x = (rows @ feedback.conj()).view(x.shape) if need_x else None
        grad = _products(rows, x, ctx.sparse) if need_weight or need_feedback else None
        # Summed in autograd's order for either layout of x, so that the control is bitwise equal to backpropagation.
        batch = tuple(range(delta.ndim - 1))
        flat = ctx.sparse or x.is_contiguous() or not batch
        grad_bias = (rows.sum(0) if flat else delta.sum(batch)) if need_bias else None
        return grad_x, grad if need_weight else None, grad_bias, grad if need_feedback else None


def _products(rows: Tensor, x: Tensor, sparse: bool) -> Tensor:
    if sparse:  # a matrix that PyTorch multiplies from the left only
        return (x.t() @ rows).t()
    return rows.t() @ x.reshape(-1, x.shape[-1]).conj()


class Geometry(NamedTuple):
    """The arguments of ``torch.convolution`` after its tensors, in the same order."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor, geometry: Geometry
    ) -> Tensor:
        ctx.geometry, ctx.bias_sizes = geometry, None if bias is None else list(bias.shape)
        ctx.save_for_backward(x, feedback)
        return torch.convolution(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        x, feedback = ctx.saved_tensors
        # The operator uses its weight argument for grad_x alone, so that B in its place changes nothing else.
        need_x, need_weight, need_bias, need_feedback, _ = ctx.needs_input_grad
        grad_x, grad, grad_bias = torch.ops.aten.convolution_backward(
            delta, x, feedback, ctx.bias_sizes, *ctx.geometry, [need_x, need_weight or need_feedback, need_bias]
        )
        return grad_x, grad if need_weight else None, grad_bias, grad if need_feedback else None, None


Lesson = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(W, B, state of the layer's stream) -> gradient of B."""


class _Lesson(Function):
    @staticmethod
    def forward(ctx: Any, feedback: Tensor, weight: Tensor, state: Tensor, teach: Lesson) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.teach = teach
        ctx.save_for_backward(feedback, weight, state)
        return feedback.clone(), feedback.new_zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, unused: Tensor | None, factor: Tensor | None) -> tuple[Tensor | None, ...]:
        if factor is None:
            raise RuntimeError(NOT_JOINED)
        if unused is None:  # this loss does not depend on the layer
            return None, None, None, None
        feedback, weight, state = ctx.saved_tensors
        return (ctx.teach(weight, feedback, state) * factor).to(feedback.dtype), None, None, None


def lesson(feedback: Tensor, weight: Tensor, state: Tensor, teach: Lesson) -> tuple[Tensor, Tensor]:
    """B, and a zero to be joined to the loss. In backward B receives ``teach(W, B, state)`` times the factor before the loss.

    Raises:
        RuntimeError: in backward, if the loss was not joined.
    """
    pair: tuple[Tensor, Tensor] = _Lesson.apply(feedback, weight, state, teach)
    return pair


def _autocast(*tensors: Tensor | None) -> list[Any]:
    # Autocast would cast inside forward only, so that backward would get two dtypes. Casting outside of the Function
    # gives the dtypes of autocast, and gradients in the dtypes of the parameters.
    device = next(t for t in tensors if t is not None).device.type
    if not torch.is_autocast_enabled(device):
        return list(tensors)
    dtype = torch.get_autocast_dtype(device)
    return [t if t is None or t.is_complex() or t.dtype == torch.float64 else t.to(dtype) for t in tensors]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor) -> Tensor:
    """``x W^T + b`` for ``x`` of shape ``(..., n)``; backward sends ``delta B`` down. ``feedback``: ``(m, n)`` as ``weight``."""
    out: Tensor = _Linear.apply(*_autocast(x, weight, bias, feedback))
    return out


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor, geometry: Geometry) -> Tensor:
    """``torch.convolution`` (any dimension, transposed or not); backward sends the convolution of delta with B down."""
    out: Tensor = _Convolution.apply(*_autocast(x, weight, bias, feedback), geometry)
    return out
