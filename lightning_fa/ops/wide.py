"""Float64 for measurements, also of tensors on a device without float64 (Apple's MPS)."""

from __future__ import annotations

import torch
from torch import Tensor


def double(t: Tensor) -> Tensor:
    """``t`` in float64: on its own device if the device has float64, else on the CPU.

    A complex number becomes two real numbers, in a last dimension: angles, norms and similarities are then those of real space.
    """
    t = torch.view_as_real(t.resolve_conj()) if t.is_complex() else t
    return t.double() if has_float64(t.device) else t.cpu().double()


def has_float64(device: torch.device) -> bool:
    """Whether the device has float64. A device that is neither CPU nor CUDA is tried with one tensor."""
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.zeros((), device=device).double()
    except (TypeError, RuntimeError):
        return False
    return True
