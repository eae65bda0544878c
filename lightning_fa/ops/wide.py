"""Float64 for measures, also of tensors on a device that has none (Apple's MPS)."""

from __future__ import annotations

import torch
from torch import Tensor


def double(t: Tensor) -> Tensor:
    """``t.double()``, where its device has float64; elsewhere on the CPU, so that what is computed from it is as exact."""
    return t.double() if has_float64(t.device) else t.cpu().double()


def has_float64(device: torch.device) -> bool:
    """Whether there are tensors of float64 on the device; those of a few kinds are asked for one."""
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.zeros((), device=device).double()
    except (TypeError, RuntimeError):
        return False
    return True
