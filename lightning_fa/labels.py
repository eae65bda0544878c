"""Which targets count: a class of -100 and a value that is not a number are there to be ignored, as by cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -100
"""The class that stands for no class, as ``ignore_index`` of ``torch.nn.functional.cross_entropy``."""


def one_hot(classes: Tensor, outputs: int) -> Tensor:
    """``(rows, outputs)`` as booleans; a class to be ignored is a row without any."""
    return classes[:, None] == torch.arange(outputs, device=classes.device)


def known(targets: Tensor) -> Tensor:
    """Which entries of ``targets`` count, as booleans in its shape."""
    return ~targets.isnan() if targets.is_floating_point() else targets != IGNORED


def share(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What a mean over all entries of ``mask`` must be divided by to be one over those that count: exactly 1 if all do."""
    # A factor, and no other denominator, so that gradients stay bitwise what they are where everything counts.
    return mask.sum().clamp(min=1).to(dtype) / mask.numel()
