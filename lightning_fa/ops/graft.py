"""A value computed with W whose error is computed with B, for any operator that is linear in x.

``linear`` and ``convolution`` define their own backward pass. Any other operator f that is linear in x is evaluated twice::

    value    f(x, W)        dL/dW = (df/dW)^T delta  at (x, W)        dL/dx = (df/dx)^T delta  at B in place of W

PyTorch's own derivative of f then gives both gradients, for any layout, groups or subscripts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class _Graft(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, carried: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        # For autograd this is no view, so that in-place operations may follow. No grafted operator saves its output.
        return torch.ops.aten._unsafe_view(value, value.shape)

    @staticmethod
    def backward(ctx: Any, delta: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        return delta, delta


class _Tie(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, feedback: Tensor) -> Tensor:
        return weight.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, grad


def graft(value: Tensor, carried: Tensor) -> Tensor:
    """``value``, with a gradient that flows into both ``value`` and ``carried``, which have one shape."""
    out: Tensor = _Graft.apply(value, carried)
    return out


def tie(weight: Tensor, feedback: Tensor) -> Tensor:
    """``weight``, with a gradient that ``feedback`` receives as well (Kolen-Pollack)."""
    out: Tensor = _Tie.apply(weight, feedback)
    return out
