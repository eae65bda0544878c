"""Which targets count: a class of -100, as in PyTorch's cross-entropy, and a value of NaN are ignored."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -100
"""The class that is ignored, as the default ``ignore_index`` of ``torch.nn.functional.cross_entropy``."""


def one_hot(classes: Tensor, outputs: int) -> Tensor:
    """``(rows, outputs)`` as booleans. The row of an ignored class is all false."""
    return classes[:, None] == torch.arange(outputs, device=classes.device)


def known(targets: Tensor) -> Tensor:
    """Which entries of ``targets`` count, as booleans in its shape."""
    return ~targets.isnan() if targets.is_floating_point() else targets != IGNORED


def known_rows(targets: Tensor, outputs: int) -> Tensor:
    """Which rows of ``targets`` count, as ``(rows,)`` booleans. A row of ``outputs`` values counts if any of its values does."""
    return known(targets.reshape(-1, outputs if targets.is_floating_point() else 1)).any(1)


def share(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The share of entries that count. A mean over all entries divided by it is the mean over those that count."""
    # A factor, and not another denominator, so that gradients stay bitwise the same if all entries count.
    return mask.sum().clamp(min=1).to(dtype) / mask.numel()
