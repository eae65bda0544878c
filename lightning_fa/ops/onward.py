"""Indirect feedback: the error at a block's output goes on *forward*, through the next block's own weight.

Given d_i at the block's output h_i, the block's own derivatives give the error at its pre-activation,
delta_i = (dh_i/da_i)^T d_i. The next block's linear map carries this error on: d_{i+1} = W_{i+1} delta_i.

In an autograd graph errors flow from later to earlier results only, but h_{i+1} is later than h_i. Therefore delta_i is
computed in the backward of a node that has h_{i+1} among its inputs, by a second walk over the few nodes between a_i and h_i.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import get_gradient_edge

Carry = Callable[[Tensor, Tensor], Tensor]
"""``(delta, W) -> W delta`` of one layer."""


class _Pull(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, place: Any, bait: Tensor) -> Tensor:
        ctx.place, ctx.dtype = place, bait.dtype
        ctx.save_for_backward(h)
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        (h,) = ctx.saved_tensors
        (delta,) = torch.autograd.grad(h, ctx.place, d, retain_graph=True)
        return d, None, delta.reshape(h.shape).to(ctx.dtype)


@torch.compiler.allow_in_graph  # type: ignore[untyped-decorator]  # dynamo cannot trace it, AOTAutograd can
def _pulled(h: Tensor, place: Any, bait: Tensor) -> Tensor:
    pulled: Tensor = _Pull.apply(h, get_gradient_edge(place) if isinstance(place, Tensor) else place, bait)
    return pulled


class _Carry(Function):
    @staticmethod
    def forward(ctx: Any, above: Tensor, like: Tensor, weight: Tensor, carry: Carry) -> Tensor:
        ctx.carry, ctx.shape, ctx.dtype = carry, above.shape, above.dtype
        ctx.save_for_backward(weight)
        return weight.new_zeros(()).expand(like.shape)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return ctx.carry(delta, weight).reshape(ctx.shape).to(ctx.dtype), None, None, None


def onward(h: Tensor, place: Any, above: Tensor, weight: Tensor, carry: Carry) -> Tensor:
    """The identity on ``h`` that also delivers to ``above`` in backward.

    Args:
        h: The output of a block.
        place: The block's pre-activation in the graph of ``h``: the tensor, or its gradient edge.
        above: The output of the next block, or the tensor that this function returned for it.
        weight: W of the next block.
        carry: Applies ``weight`` to an error.
    """
    return _pulled(h, place, _Carry.apply(above, h.detach(), weight, carry))
