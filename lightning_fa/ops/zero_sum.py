"""A check of the error that also runs in compiled code: a custom operator, opaque to ``torch.compile``, which may raise."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_fa.ops.wide import has_float64

ZERO_SUM = (
    "Every row of the error e = dL/d(output) sums to zero, as under softmax with cross-entropy, where e = p - y. Kickback "
    "sends this sum to all hidden units, so that no hidden unit would ever learn. Use Kickback with a loss whose outputs are "
    "independent (mean squared error, binary cross-entropy), or another rule such as 'dfa' for classification."
)


# The schema is given, because the oldest supported torch cannot infer it from annotations that are strings.
@torch.library.custom_op("lightning_fa::refuse_zero_sum", mutates_args=(), schema="(Tensor e) -> Tensor")
def _refuse_zero_sum(e: Tensor) -> Tensor:
    seen = e if has_float64(e.device) else e.cpu()
    exact, absolute = seen.double(), seen.double().abs().sum(1)
    # Before this check the error may have been rounded to the precision of the output.
    held = next(
        t
        for t in (torch.bfloat16, torch.float16, torch.float32, torch.float64)
        if torch.equal(seen.to(t).to(e.dtype), seen)
    )
    if absolute.any() and (exact.sum(1).abs() <= 4 * torch.finfo(held).eps * absolute).all():
        raise RuntimeError(ZERO_SUM)
    return e.clone()


@_refuse_zero_sum.register_fake  # type: ignore[untyped-decorator]
def _(e: Tensor) -> Tensor:
    return torch.empty_like(e)


def refuse_zero_sum(e: Tensor) -> Tensor:
    """``e`` of shape ``(rows, outputs)``, unchanged.

    Raises:
        RuntimeError: e is not zero, but every row of e sums to zero within rounding.
    """
    out: Tensor = _refuse_zero_sum(e)
    return out
