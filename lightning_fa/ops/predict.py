"""The autograd node of a synthetic gradient: the block with output h receives a prediction s instead of the true error g.

``predicted`` is the identity on h. In backward it receives g = dL/dh from the block above and, through ``unit``, the
factor c before the loss. If the loss is a mean over the n samples that count, s predicts the gradient of one sample's
loss, n g / c, as in Czarnecki et al., whose losses are sums. Therefore ``predicted`` returns::

    to h    c s / n                        to s    2 (c s / n - g) = c d/ds mean_j |s_j - n g_j / c|^2
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from lightning_fa.ops.route import NOT_JOINED, NOT_SCORED


class _Predicted(Function):
    @staticmethod
    def forward(
        ctx: Any, h: Tensor, s: Tensor, n: Tensor, applied: Tensor | None, share: float
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.share = share
        ctx.save_for_backward(s, n, applied)
        return h.clone(), h.new_zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, factor: Tensor | None) -> tuple[Tensor | None, ...]:
        if g is None:
            raise RuntimeError(NOT_SCORED)
        if factor is None:
            raise RuntimeError(NOT_JOINED)
        s, n, applied = ctx.saved_tensors
        true = g.to(s.dtype)
        # In place on new tensors, because each is as large as h.
        d = (factor * s).div_(n)
        delivered = d if ctx.share == 1 else ctx.share * d
        if applied is not None:
            delivered = torch.where(applied, delivered, true)
        return delivered.to(g.dtype), (d - true).mul_(2), None, None, None


def predicted(h: Tensor, s: Tensor, n: Tensor, applied: Tensor | None, share: float) -> tuple[Tensor, Tensor]:
    """The identity on ``h``. In backward it sends s down, and trains s on the true error.

    Args:
        h: The output of the block below, samples first.
        s: The prediction, in the shape of ``h``.
        n: The number of samples that count.
        applied: A boolean scalar. While it is false, h receives g itself, and s only learns. ``None``: h always receives s.
        share: Factor on the prediction that h receives.

    Returns:
        ``h``, and a zero that must be joined to the loss.
    """
    out: tuple[Tensor, Tensor] = _Predicted.apply(h, s, n, applied, share)
    return out


class _Scaled(Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, alpha: float, applied: Tensor | None) -> Tensor:
        ctx.alpha = alpha
        ctx.save_for_backward(applied)
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (applied,) = ctx.saved_tensors
        g = ctx.alpha * g
        return (g if applied is None else g * applied), None, None


def scaled(h: Tensor, alpha: float, applied: Tensor | None) -> Tensor:
    """The identity, with a gradient multiplied by ``alpha``, or zero while ``applied`` is false."""
    out: Tensor = _Scaled.apply(h, alpha, applied)
    return out
