"""A block whose forward tells the wiring when it begins and ends."""

from __future__ import annotations

from typing import Any

import torch

from lightning_fa.surgery import Behaviour
from lightning_fa.wiring.checkpoints import outside_checkpoints, recomputing


class Bounded(Behaviour):
    """A block whose input is cut from the block below, and, for the last one, whose output is routed."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring, index = self._feedback_port
        args, kwargs = wiring.enter(index, args, kwargs)
        wiring.course.inside = not recomputing()
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring.course.inside = False
        block = wiring.blocks[index]
        if block.exit is self:
            return wiring.end(index, out)
        if index < len(wiring.blocks) - 1:
            return wiring.passed(index, out)
        with outside_checkpoints():
            return wiring.leave(out)


class Exit(Behaviour):
    """A module around a block, whose output ends the block."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring, index = self._feedback_port
        return wiring.end(index, out) if torch.is_grad_enabled() else out
