"""A feedback matrix B used as a linear readout of the layer it feeds (Gilmer et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_fa.labels import known, one_hot
from lightning_fa.ops.wide import double


def output_error(logits: Tensor, targets: Tensor) -> Tensor:
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
        targets: ``(rows,)`` classes, with softmax and cross-entropy; or ``(rows, outputs)`` values, with half the squared
            error, e = logits - y. Targets of class -100 and of value NaN are ignored: their error is zero.
    """
    logits = double(logits)
    targets = targets.to(logits.device)
    if targets.is_floating_point() or targets.ndim > 1:
        y = double(targets.reshape(logits.shape))
        return torch.where(known(y), logits - y, 0.0)
    label = one_hot(targets, logits.shape[-1])
    others = torch.softmax(logits, dim=-1).masked_fill(label, 0)
    error = torch.where(label, -others.sum(dim=-1, keepdim=True), others)
    return torch.where(known(targets)[:, None], error, 0.0)


def readout_error(h: Tensor, feedback: Tensor, targets: Tensor) -> Tensor:
    """The local error e^i: :func:`output_error` of the readout B^T h.

    Args:
        h: ``(rows, width)``.
        feedback: B, ``(width, outputs)``.
        targets: As in :func:`output_error`.
    """
    return output_error(double(h) @ double(feedback), targets)


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Percent of rows whose largest logit is that of their class. Rows of class -100 do not count; nan if no row counts."""
    targets = targets.to(logits.device)
    return 100 * double((logits.argmax(dim=-1) == targets)[known(targets)]).mean().item()
