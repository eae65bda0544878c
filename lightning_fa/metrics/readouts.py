"""A feedback matrix B used as a linear readout of the layer it feeds (Gilmer et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from lightning_fa.labels import known, one_hot
from lightning_fa.ops.wide import double

ValueLoss = Literal["mse", "binary_cross_entropy", "cross_entropy"]
"""The losses of values whose error is a prediction minus the value."""
PREDICTIONS: dict[ValueLoss, Callable[[Tensor], Tensor]] = {
    "mse": lambda logits: logits,
    "binary_cross_entropy": torch.sigmoid,
    "cross_entropy": lambda logits: torch.softmax(logits, dim=-1),
}


SAME = 1 - 1e-4
"""The cosine above which two errors are of one loss. Errors in bfloat16 have 1 - 4e-6."""


def output_error(logits: Tensor, targets: Tensor, loss: ValueLoss = "mse") -> Tensor:
    r"""e, the gradient of each row's loss with respect to its logits, in float64.

    With softmax and cross-entropy, :math:`e = p - y` for the probabilities :math:`p` and the label :math:`c`. The entry
    of the label is computed as :math:`e_c = -\sum_{k \ne c} p_k`, because :math:`p_c - 1` is exactly 0 once :math:`p_c`
    rounds to 1. e is zero only if every other probability underflows, at gaps above 745 between the logits.

    **Two errors of one sample are never more than 60 degrees apart.** The error is
    :math:`e = (1 - p_c)(u - 1_c)` with a distribution :math:`u` over the classes other than :math:`c`. A second softmax
    gives :math:`e' = (1 - p'_c)(u' - 1_c)`. Hence

    .. math:: \cos(e, e') = \frac{u \cdot u' + 1}{\sqrt{(|u|^2 + 1)(|u'|^2 + 1)}} \ge \frac{1}{\sqrt{2 \cdot 2}} = \frac12,

    because :math:`u \cdot u' \ge 0` and :math:`|u|, |u'| \le 1`. An angle below 90 degrees is therefore no evidence of
    alignment. An angle below that of an unrelated readout with logits of the same size is evidence.

    Args:
        logits: ``(rows, outputs)``.
        targets: ``(rows,)`` classes, with softmax and cross-entropy; or ``(rows, outputs)`` values. Targets of class -100 and
            of value NaN are ignored: their error is zero.
        loss: The loss of values: ``"mse"``, half the squared error, with e = logits - y; ``"binary_cross_entropy"``, with
            e = sigmoid(logits) - y; or ``"cross_entropy"``, of probabilities, with e = softmax(logits) - y.
    """
    logits = double(logits)
    targets = targets.to(logits.device)
    if targets.is_floating_point() or targets.ndim > 1:
        y = double(targets.reshape(logits.shape))
        return torch.where(known(y), PREDICTIONS[loss](logits) - y, 0.0)
    label = one_hot(targets, logits.shape[-1])
    others = torch.softmax(logits, dim=-1).masked_fill(label, 0)
    error = torch.where(label, -others.sum(dim=-1, keepdim=True), others)
    return torch.where(known(targets)[:, None], error, 0.0)


def readout_error(h: Tensor, feedback: Tensor, targets: Tensor, loss: ValueLoss = "mse") -> Tensor:
    """The local error e^i: :func:`output_error` of the readout B^T h.

    Args:
        h: ``(rows, width)``.
        feedback: B, ``(width, outputs)``.
        targets: As in :func:`output_error`.
        loss: As in :func:`output_error`.
    """
    return output_error(double(h) @ double(feedback), targets, loss)


def loss_of(error: Tensor, logits: Tensor, targets: Tensor) -> ValueLoss | None:
    """The loss of values whose error has the direction of ``error``, over all rows together; None if there is no such loss."""
    measured = double(error).flatten()
    for loss in PREDICTIONS:
        expected = output_error(logits, targets, loss).flatten()
        if torch.dot(expected, measured) > SAME * expected.norm() * measured.norm():
            return loss
    return None


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Percent of rows whose largest logit is that of their class. Rows of class -100 do not count; nan if no row counts."""
    targets = targets.to(logits.device)
    return 100 * double((logits.argmax(dim=-1) == targets)[known(targets)]).mean().item()
