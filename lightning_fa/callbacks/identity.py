"""The ``state_key`` of a callback: it distinguishes instances of one class, and is the same in a resumed run."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any
from zlib import crc32

import torch
from lightning.pytorch import Callback
from torch import Tensor


def key_of(callback: Callback, settings: Mapping[str, Any]) -> str:
    """A key made of the callback's class and settings.

    Args:
        callback: The callback.
        settings: The arguments that decide what the callback measures, and not where results go.
    """
    return f"{type(callback).__qualname__}[{', '.join(f'{name}={_told(value)}' for name, value in settings.items())}]"


def _told(value: Any) -> str:
    """As ``repr``, with checksums for tensors, and without the order of sets and addresses, which differ between processes."""
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return f"{list(value.shape)}:{crc32(content.numpy().tobytes()):08x}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_told(item)}' for key, item in value.items())}}}"
    if isinstance(value, Set):
        return f"{{{', '.join(sorted((_told(item) for item in value), key=lambda told: (len(told), told)))}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_told(item) for item in value)}]"
    if value is None or isinstance(value, (str, int, float)):
        return repr(value)
    return str(getattr(value, "__qualname__", type(value).__qualname__))
