"""A feedback matrix B used as a linear readout of the layer it feeds (Gilmer et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lightning_fa.ops.wide import double


def output_error(logits: Tensor, targets: Tensor) -> Tensor:
    """e, the gradient of each row's loss with respect to its logits, in float64.

    Args:
        logits: ``(rows, outputs)``.
        targets: ``(rows,)`` classes, with softmax and cross-entropy, e = softmax(logits) - y; or ``(rows, outputs)``
            values, with half the squared error, e = logits - y.
    """
    logits = double(logits)
    targets = targets.to(logits.device)
    if targets.is_floating_point() or targets.ndim > 1:
        return logits - double(targets.reshape(logits.shape))
    return torch.softmax(logits, dim=-1) - one_hot(targets, logits.shape[-1])


def readout_error(h: Tensor, feedback: Tensor, targets: Tensor) -> Tensor:
    """The local error e^i: :func:`output_error` of the readout B^T h.

    Args:
        h: ``(rows, width)``.
        feedback: B, ``(width, outputs)``.
        targets: As in :func:`output_error`.
    """
    return output_error(double(h) @ double(feedback), targets)


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Percent of rows whose largest logit is their class's."""
    return 100 * double(logits.argmax(dim=-1) == targets.to(logits.device)).mean().item()
