r"""Gradients that are computed before the backward pass, and wait as constants for the factor before the loss.

A block that needs nothing from above can compute the gradient :math:`g_p = s \, \partial L / \partial p` of its own loss L as
soon as it has run, with any scale s. ``settled`` keeps these gradients and returns a zero. ``join`` adds this zero to the
network's loss. In backward the zero receives the factor c before the loss (GradScaler, accumulation, ``c * loss``), and every
p receives

.. math:: \frac{c}{s} \, g_p

If s = c, this is g_p itself, bit for bit. With s = 1 half precision would lose the small gradients that a GradScaler preserves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

DIFFERENTIATED_TWICE = (
    "`backward(create_graph=True)` differentiates gradients, but the gradients of the blocks below the head were computed in "
    "the forward pass under this rule, and are constants. From now on the graphs are kept: run the step again, from its "
    "forward pass on."
)


class _Settled(Function):
    @staticmethod
    def forward(ctx: Any, gradients: Sequence[Tensor | None], scale: Tensor, *places: Tensor) -> Tensor:
        ctx.save_for_backward(scale, *gradients)
        return torch.zeros_like(scale)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(DIFFERENTIATED_TWICE)
        scale, *gradients = ctx.saved_tensors
        ratio = factor / scale
        if ratio.device.type == "cpu" and ratio.item() == 1:  # on an accelerator reading the value would wait
            return None, None, *gradients  # they become the .grad themselves, without a copy
        return None, None, *(None if g is None else g * ratio.to(g.device) for g in gradients)


def settled(places: Sequence[Tensor], gradients: Sequence[Tensor | None], scale: Tensor) -> Tensor:
    """A zero that hands every tensor of ``places`` its gradient in backward, once the zero is joined to the loss.

    Args:
        places: The tensors that receive gradients: parameters, or inputs of the network.
        gradients: The gradient of the block's own loss for each tensor, times ``scale``; ``None`` for no gradient.
        scale: A scalar that is finite and not zero.

    Raises:
        RuntimeError: in backward with ``create_graph=True``.
    """
    unit: Tensor = _Settled.apply(gradients, scale, *places)
    return unit
