"""Random numbers in a pipeline: one stream for what all ranks do alike, and one for each block.

What every rank computes (shuffling, augmentation, mixing samples in ``training_step``) must be the same everywhere. What only
one stage computes, as dropout in its blocks, must not move that stream, and must not be the same in two stages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.utilities.seed import _collect_rng_states, _set_rng_states


class BlockStream:
    """The random numbers of one block, from the common state and its name: the same for any number of stages."""

    def __init__(self, common: bytes, name: str, device: torch.device) -> None:
        digest = hashlib.sha256(common + name.encode()).digest()
        seed = int.from_bytes(digest[:8], "big") >> 1
        self.device = device
        self._cpu = torch.Generator().manual_seed(seed).get_state()
        self._gpu = None
        if device.type == "cuda":
            self._gpu = torch.Generator(device).manual_seed(seed).get_state()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Inside, random numbers come from this stream."""
        cpu, gpu = torch.get_rng_state(), None
        torch.set_rng_state(self._cpu)
        if self._gpu is not None:
            gpu = torch.cuda.get_rng_state(self.device)
            torch.cuda.set_rng_state(self._gpu, self.device)
        try:
            yield
        finally:
            self._cpu = torch.get_rng_state()
            torch.set_rng_state(cpu)
            if gpu is not None:
                self._gpu = torch.cuda.get_rng_state(self.device)
                torch.cuda.set_rng_state(gpu, self.device)


def common_state() -> dict[str, Any]:
    """The state of all global streams of this process."""
    return _collect_rng_states(include_cuda=torch.cuda.is_available())


def set_common_state(state: dict[str, Any]) -> None:
    """Go on from another process' state."""
    _set_rng_states(state)


def name_of(state: dict[str, Any]) -> bytes:
    """What block streams are seeded with."""
    return bytes(state["torch"].tolist())
