"""The router: one autograd node at the network's output hands every block its error. The graph is cut between the blocks.

``route`` is the identity on the output. In backward it receives e = dL/dy, and returns e to the last block and d_i to the
output h_i of every other block. ``route`` also returns ``unit``, a zero that ``join`` adds to the loss. The gradient of
``unit`` is the factor before the loss (GradScaler, accumulation, ``c * loss``). Rules that are not linear in e need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function


class Delivery(Protocol):
    """Computes what the router returns in backward to the block of an index."""

    def error(self, index: int, e: Tensor, factor: Tensor | None, feedback: Tensor) -> Tensor:
        """The error d at the block's output h, in the shape of h."""

    def lesson(self, index: int, e: Tensor, factor: Tensor | None, feedback: Tensor, h: Tensor) -> Tensor:
        """The gradient of learned ``feedback``, in the shape of ``feedback``."""


NOT_JOINED = (
    "This rule needs the loss that is differentiated: call `loss = attached.loss(loss)` before `loss.backward()`. A feedback "
    "strategy or the mixin makes this call in automatic optimisation. Add several losses of one forward pass before the call."
)
NOT_SCORED = (
    "This loss does not depend on the output of an earlier forward pass. Run passes that you do not train on under "
    "`torch.no_grad()`. After an exception call `attached.forget()`. That pass is forgotten now: the next step will work."
)


class _Route(Function):
    @staticmethod
    def forward(
        ctx: Any, output: Tensor, delivery: Delivery, joined: bool, count: int, *taps_and_feedback: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.delivery, ctx.joined, ctx.count = delivery, joined, count
        feedback = taps_and_feedback[count:]
        learned = any(ctx.needs_input_grad[4 + count :])
        ctx.save_for_backward(*feedback, *(taps_and_feedback[:count] if learned else ()))
        # A clone, because autograd would forbid in-place operations on an output that is the input itself.
        return output.clone(), output.new_zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, e: Tensor | None, factor: Tensor | None) -> tuple[Tensor | None, ...]:
        if e is None:
            raise RuntimeError(NOT_SCORED)
        if ctx.joined and factor is None:
            raise RuntimeError(NOT_JOINED)
        needs = ctx.needs_input_grad[4:]
        feedback, taps = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        errors, lessons = [], []
        for i, b in enumerate(feedback):
            errors.append(ctx.delivery.error(i, e, factor, b) if needs[i] else None)
            lessons.append(ctx.delivery.lesson(i, e, factor, b, taps[i]) if needs[ctx.count + i] else None)
        return e, None, None, None, *errors, *lessons


def route(
    output: Tensor, delivery: Delivery | None, taps: Sequence[Tensor], feedback: Sequence[Tensor], *, joined: bool
) -> tuple[Tensor, Tensor]:
    """The identity on ``output`` that delivers to ``taps`` in backward.

    Args:
        output: The head's output.
        delivery: Computes the error of each tap that needs a gradient; ``None`` without taps.
        taps: Outputs of the blocks below the head.
        feedback: One tensor per tap.
        joined: Whether ``unit`` must have been joined to the loss.

    Returns:
        The output, and ``unit``.

    Raises:
        RuntimeError: in backward, if ``unit`` was required and not joined, or if the loss does not depend on the output.
    """
    routed: tuple[Tensor, Tensor] = _Route.apply(output, delivery, joined, len(taps), *taps, *feedback)
    return routed


class _Join(Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, *terms: Tensor) -> Tensor:
        ctx.dtypes = [term.dtype for term in terms]
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor, ...]:
        return factor, *[factor.to(dtype) for dtype in ctx.dtypes]


def join(loss: Tensor, terms: Sequence[Tensor]) -> Tensor:
    """The loss with its value unchanged. Its gradient also flows into every scalar of ``terms``."""
    joined: Tensor = _Join.apply(loss, *terms)
    return joined
