r"""What is known before the backward pass: gradients that wait, as constants, for the factor before the loss.

A block that needs nothing from above has the gradient :math:`g_p = s \, \partial L / \partial p` of its own loss L as soon as it
has run, at whatever scale s. ``settled`` keeps these and returns a zero. ``join`` adds that zero to the network's loss; in
backward it receives the factor c before that loss (GradScaler, accumulation, ``c * loss``), and every p receives

.. math:: \frac{c}{s} \, g_p

With s = c that is g itself, bit for bit. Why not s = 1: half precision would lose what a GradScaler is there to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

DIFFERENTIATED_TWICE = (
    "`backward(create_graph=True)` differentiates gradients, but this rule has computed those of the blocks below the head in "
    "the forward pass, where they became constants. From now on the graphs are kept: run the step again, from its forward "
    "pass on."
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
        if ratio.device.type == "cpu" and ratio.item() == 1:  # an accelerator would have to be waited for
            return None, None, *gradients  # they become the .grad themselves, without a copy
        return None, None, *(None if g is None else g * ratio.to(g.device) for g in gradients)


def settled(places: Sequence[Tensor], gradients: Sequence[Tensor | None], scale: Tensor) -> Tensor:
    """A zero that, once it is joined to the loss, hands every tensor of ``places`` its gradient in the one backward pass.

    Args:
        places: What receives: parameters, or inputs of the network.
        gradients: One for each, in its shape, ``scale`` times that of the own loss; ``None`` where there is none.
        scale: A scalar that is finite and not zero.

    Raises:
        RuntimeError: in backward, if that has ``create_graph=True``.
    """
    unit: Tensor = _Settled.apply(gradients, scale, *places)
    return unit
