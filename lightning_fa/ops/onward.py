"""The router of indirect feedback: the error enters at the first block, and goes on *forward* through the weights.

With d_1 given at the first block's output h_1, every block turns the error at its output into the one at its
pre-activation, delta_i = (dh_i/da_i)^T d_i, and the next block's own linear map carries that on: d_{i+1} = W_{i+1} delta_i.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from lightning_fa.ops.route import NOT_SCORED

Carry = Callable[[Tensor, Tensor], Tensor]
"""``(delta, W) -> W delta`` of one layer."""


class _Onward(Function):
    @staticmethod
    def forward(
        ctx: Any, output: Tensor, first: Callable[[Tensor, Tensor], Tensor], edges: Sequence[Any], carries: Sequence[Carry],
        feedback: Tensor, *taps_and_weights: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.set_materialize_grads(False)
        ctx.first, ctx.edges, ctx.carries = first, edges, carries
        ctx.save_for_backward(feedback, *taps_and_weights)
        return output.clone()

    @staticmethod
    def backward(ctx: Any, e: Tensor | None) -> tuple[Tensor | None, ...]:
        if e is None:
            raise RuntimeError(NOT_SCORED)
        feedback, *rest = ctx.saved_tensors
        taps, weights = rest[: len(ctx.edges)], rest[len(ctx.edges) :]
        errors = [ctx.first(e, feedback)]
        for tap, edge, carry, weight, following in zip(taps, ctx.edges, ctx.carries, weights, taps[1:]):
            (delta,) = torch.autograd.grad(tap, edge, errors[-1], retain_graph=True)
            d = carry(delta.to(weight.dtype).reshape(tap.shape), weight)
            errors.append(d.reshape(following.shape).to(following.dtype))
        return e, None, None, None, None, *errors, *[None] * len(weights)


def onward(
    output: Tensor,
    first: Callable[[Tensor, Tensor], Tensor],
    taps: Sequence[Tensor],
    edges: Sequence[Any],
    carries: Sequence[Carry],
    feedback: Tensor,
    weights: Sequence[Tensor],
) -> Tensor:
    """The identity on ``output`` that delivers to ``taps`` in backward.

    Args:
        output: The head's output.
        first: ``(e, B) -> d_1``, in the shape of the first tap.
        taps: Outputs of the blocks below the head, all with a gradient.
        edges: The place in the graph of each of these blocks' pre-activation.
        carries: For each tap but the first, how its block's layer applies its weight.
        feedback: B.
        weights: The weight for each of ``carries``.
    """
    out: Tensor = _Onward.apply(output, first, list(edges), list(carries), feedback, *taps, *weights)
    return out
