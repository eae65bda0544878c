"""A number that tells two batches apart, from a few of their values."""

from __future__ import annotations

import zlib
from typing import Any

import torch

from lightning_fa.wiring.tensors import tensors_in

VALUES = 256
"""How many values of a tensor are looked at."""


def fingerprint(batch: Any) -> int:
    """Of the CPU tensors in ``batch``; 0 where there are none that can be found."""
    found = 0
    for tensor in tensors_in(batch):
        if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            continue
        flat = tensor.detach().reshape(-1)
        few = flat[:: max(1, len(flat) // VALUES)].contiguous()
        found = zlib.crc32(bytes(few.view(torch.uint8).tolist()), found)
        found = zlib.crc32(str(tuple(tensor.shape)).encode(), found)
    return found
