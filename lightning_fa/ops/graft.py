"""What is computed with W, and answers as if it had been computed with B: for every operator that is linear in x.

``linear`` and ``convolution`` know their own backward pass. Any other operator f, linear in x, is evaluated twice::

    value    f(x, W)        dL/dW = (df/dW)^T delta  at (x, W)        dL/dx = (df/dx)^T delta  at B in place of W

so that its own derivative in PyTorch does the work, whatever its layout, groups or subscripts are.
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
        # No view for autograd, so that operations in place may follow. No operator that is grafted saves its output.
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
    """The value of ``value``, whose gradient flows into ``value`` and into ``carried``, both of one shape."""
    out: Tensor = _Graft.apply(value, carried)
    return out


def tie(weight: Tensor, feedback: Tensor) -> Tensor:
    """The value of ``weight``, whose gradient ``feedback`` receives as well (Kolen-Pollack)."""
    out: Tensor = _Tie.apply(weight, feedback)
    return out
