"""Random numbers that are new in every training step, computed in the graph as a hash of a counter.

``u[i] = hash(key, step, i)`` has no state but the step, a tensor stored with the weights. The numbers depend on (seed, layer
name, step) alone. They are equal on every rank and device, exact after resume, and independent of the global RNG. For
``torch.compile`` they are one more element-wise kernel. (A ``torch.Generator`` is opaque to the compiler, and its numbers
differ between devices.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def stream(seed: int, name: str) -> Tensor:
    """The state of a new stream, fixed by ``(seed, name)``: two key words and the step."""
    digest = hashlib.sha256(f"stream:{seed}:{name}".encode()).digest()
    return torch.tensor([int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big"), 0])


def uniform(state: Tensor, shape: Sequence[int]) -> Tensor:
    """``shape`` float32 numbers in [0, 1), multiples of 2^-24, for the step that ``state`` is at."""
    key, other, step = state.unbind()
    index = torch.arange(torch.Size(shape).numel(), device=state.device)
    bits = _mix(index ^ _mix(_mix(step ^ key) + other))
    return ((_mix(bits + key) >> 8).to(torch.float32) * 2**-24).view(tuple(shape))


def _mix(x: Tensor) -> Tensor:
    # A 32-bit finaliser ("lowbias32", C. Wellons 2018) in 64-bit integers: the low 32 bits of their products are exact.
    x = x & _MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)
