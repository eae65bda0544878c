"""Messages from a stage to the stage above: a short header that the receiver checks, and one tensor.

The header goes through gloo on the CPU, whatever backend carries the tensor, so that a dead process is noticed at once.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

HEADER, PAYLOAD = 1, 2
ENDED = -1
"""Number in the header of a stage that has left the epoch before its end."""
STOPPED = (
    "`trainer.should_stop` was set within an epoch on some ranks of a pipeline and not on others, which began another batch. "
    "The loss is true on rank 0 only. Decide at the end of an epoch, where rank 0 decides for all, or by "
    "`self.trainer.should_stop = self.trainer.strategy.broadcast(decision)` in every batch, for which all stages wait."
)
IN_FLIGHT = 4
"""Most messages that may be under way. A stage that is further ahead waits, so that activations do not pile up."""


class Channel:
    """The two neighbours of a stage.

    Args:
        below: Rank of the stage below, from which activations come.
        above: Rank of the stage above.
        control: A gloo group, for headers, or None for the group of the process.
    """

    def __init__(self, below: int | None, above: int | None, control: Any) -> None:
        self.below, self.above, self.control = below, above, control
        self.batch = 0
        """A fingerprint of the batch that is being processed."""
        self.open = True
        """Whether tensors are sent. If not, :meth:`receive` returns zeros."""
        self.sent = 0
        """Bytes of all sent tensors."""
        self._received = self._counted = 0
        self._flying: deque[list[tuple[Any, Tensor]]] = deque()

    def send(self, h: Tensor) -> None:
        """Send ``h`` to the stage above, and wait only if :data:`IN_FLIGHT` messages are under way.

        ``h`` is kept alive until it has arrived, and must not be changed in place.
        """
        assert self.above is not None
        if not self.open:
            return
        self._counted += 1
        h = h.detach().contiguous()
        header = torch.tensor([self._counted, self.batch, h.numel()])
        self._flying.append(
            [
                (dist.isend(header, self.above, self.control, HEADER), header),
                (dist.isend(h, self.above, None, PAYLOAD), h),
            ]
        )
        self.sent += h.numel() * h.element_size()
        while len(self._flying) > IN_FLIGHT:
            self._land()

    def receive(self, like: Tensor) -> Tensor:
        """The tensor that the stage below has sent, in the shape and dtype of ``like``.

        Raises:
            RuntimeError: The stage below has worked on another batch, its output has another size, or its process has ended.
        """
        assert self.below is not None
        if not self.open:
            return torch.zeros_like(like)
        self._received += 1
        header, expected = self._next_header(), [self._received, self.batch, like.numel()]
        if header[0] == ENDED:
            raise RuntimeError(STOPPED)
        if header != expected:
            raise RuntimeError(
                f"A stage received activations of another batch from the stage below: (pass, fingerprint of the batch, size) is "
                f"{header}, expected {expected}. All ranks must see the same batches in the same order, and call the "
                "network equally often. Use no DistributedSampler, no data divided by rank, no shuffling by a generator that "
                "each rank seeds by itself, and no step that depends on the rank or on the loss."
            )
        h = torch.empty(like.shape, dtype=like.dtype, device=like.device)
        dist.recv(h, self.below, None, PAYLOAD)
        return h

    def end(self) -> None:
        """Tell the stage above that this stage leaves the epoch before its end, and see that the stage below does so too.

        Raises:
            RuntimeError: The stage below has gone on to another batch.
        """
        if self.above is not None:
            header = torch.tensor([ENDED, 0, 0])
            self._flying.append([(dist.isend(header, self.above, self.control, HEADER), header)])
        if self.below is not None and self._next_header()[0] != ENDED:
            raise RuntimeError(STOPPED)

    def _next_header(self) -> list[int]:
        assert self.below is not None
        header = torch.empty(3, dtype=torch.int64)
        dist.recv(header, self.below, self.control, HEADER)
        return header.tolist()

    def flush(self) -> None:
        """Wait until all messages have arrived."""
        while self._flying:
            self._land()

    def _land(self) -> None:
        for work, _ in self._flying.popleft():
            work.wait()
