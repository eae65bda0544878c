"""Random numbers in a pipeline: one common stream, which is the same on all ranks, and one stream for each block.

Every rank shuffles, augments and mixes samples (in ``training_step``) from the common stream, so that the results are equal.
A block's dropout is computed in one stage only. It must not advance the common stream, and must differ between blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.utilities.seed import _collect_rng_states, _set_rng_states


class BlockStream:
    """The random numbers of one block. They depend on the common state and the block's name, not on the number of stages."""

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
    """Continue from the state of another process."""
    _set_rng_states(state)


def name_of(state: dict[str, Any]) -> bytes:
    """The bytes of the common state that seed the block streams."""
    return bytes(state["torch"].tolist())
