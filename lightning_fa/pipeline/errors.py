"""The error at the network's output, which direct rules need: the last stage sends it to all others at once."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function

FIRST_TAG = 16


class Errors:
    """Carries e = dL/dy of every training forward pass. Rank 0 sends, the other ranks receive.

    Every pass has a number, which its error carries as a tag. The passes can therefore be differentiated in any order.
    """

    def __init__(self) -> None:
        self.sent = 0
        """Bytes of all sent errors."""
        self._passes = 0
        self._flying: list[tuple[Any, Tensor]] = []

    def through(self, output: Tensor) -> Tensor:
        """``output`` (the network's output or a placeholder), whose backward pass sends or receives e."""
        self._passes += 1
        tag = FIRST_TAG + self._passes % 2**20
        passed: Tensor = (_Depart if dist.get_rank() == 0 else _Arrive).apply(output, self, tag)
        return passed

    def send(self, e: Tensor, tag: int) -> None:
        """Send ``e`` to all other ranks, without waiting."""
        self._flying = [(work, held) for work, held in self._flying if not work.is_completed()]
        e = e.detach().contiguous()
        for rank in range(1, dist.get_world_size()):
            self._flying.append((dist.isend(e, rank, None, tag), e))
            self.sent += e.numel() * e.element_size()

    def flush(self) -> None:
        """Wait until all errors have arrived."""
        for work, _ in self._flying:
            work.wait()
        self._flying = []


class _Depart(Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, errors: Errors, tag: int) -> Tensor:
        ctx.errors, ctx.tag = errors, tag
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, e: Tensor) -> tuple[Tensor, None, None]:
        ctx.errors.send(e, ctx.tag)
        return e, None, None


class _Arrive(Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, errors: Errors, tag: int) -> Tensor:
        ctx.tag = tag
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, of_placeholder: Tensor) -> tuple[Tensor, None, None]:
        e = torch.empty_like(of_placeholder, memory_format=torch.contiguous_format)
        dist.recv(e, 0, None, ctx.tag)
        return e, None, None
