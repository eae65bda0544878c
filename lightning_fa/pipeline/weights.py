"""The weights of one stage. A weight in a block of another stage is freed: one number, expanded to the weight's shape."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lightning_fa.pipeline.ownership import Ownership


def share(root: nn.Module, control: dist.ProcessGroup | None) -> None:
    """Give every rank the weights and buffers of rank 0, as DDP does."""
    for tensor in (*root.parameters(), *root.buffers()):
        held = tensor.detach().cpu().contiguous()
        dist.broadcast(held, 0, group=control)
        with torch.no_grad():
            tensor.copy_(held)


class Weights:
    """The weights of a divided network, in the process of one stage.

    Args:
        root: The network.
        owners: The stage of each parameter and buffer.
        stage: The stage of this process.
        control: A gloo group of all ranks, or None for the group of the process.
    """

    def __init__(self, root: nn.Module, owners: Ownership, stage: int, control: dist.ProcessGroup | None) -> None:
        self.root, self.owners, self.stage, self.control = root, owners, stage, control
        self._trained: list[nn.Parameter] = []

    def drop(self, device: torch.device) -> None:
        """Free the weights in blocks of other stages. They read as NaN (zero for integers) from then on."""
        for p in self.root.parameters():
            if id(p) in self.owners.inside and self.owners.of(p) != self.stage:
                value = float("nan") if p.dtype.is_floating_point or p.dtype.is_complex else 0
                p.data = torch.full((), value, dtype=p.dtype, device=device).expand(p.shape)
                p.grad = None

    def freeze(self) -> None:
        """Set ``requires_grad`` to False for the parameters of other stages."""
        for p in self.root.parameters():
            if p.requires_grad and self.owners.of(p) != self.stage:
                p.requires_grad_(False)
                self._trained.append(p)

    def thaw(self) -> None:
        """Undo :meth:`freeze`."""
        for p in self._trained:
            p.requires_grad_(True)
        self._trained = []

    def owns(self, tensor: Tensor) -> bool:
        """Whether a parameter or buffer belongs to this stage."""
        return self.owners.of(tensor) == self.stage

    def collect(self) -> None:
        """Send all weights and buffers to rank 0. All ranks must call it."""
        for tensor, owner in self._foreign_to(0):
            if dist.get_rank() == owner:
                dist.send(tensor.detach().cpu().contiguous(), 0, group=self.control)
            elif dist.get_rank() == 0:
                held = torch.empty(tensor.shape, dtype=tensor.dtype)
                dist.recv(held, owner, group=self.control)
                _put(tensor, held)

    def restore(self) -> None:
        """Send all weights and buffers to every rank. All ranks must call it."""
        world = dist.get_world_size()
        for tensor in (*self.root.parameters(), *self.root.buffers()):
            owner = world - 1 - self.owners.of(tensor)
            held = tensor.detach().cpu().contiguous()
            dist.broadcast(held, owner, group=self.control)
            if dist.get_rank() != owner:
                _put(tensor, held)

    def make_room(self) -> None:
        """Allocate the weights of other stages again, so that a state can be loaded into the whole network."""
        for p in self.root.parameters():
            if not self.owns(p):
                p.data = p.data.clone(memory_format=torch.contiguous_format)

    def _foreign_to(self, rank: int) -> Iterator[tuple[Tensor, int]]:
        world = dist.get_world_size()
        for tensor in (*self.root.parameters(), *self.root.buffers()):
            owner = world - 1 - self.owners.of(tensor)
            if owner != rank:
                yield tensor, owner


def _put(tensor: Tensor, held: Tensor) -> None:
    held = held.to(tensor.device)
    if isinstance(tensor, nn.Parameter):
        tensor.data = held  # a freed weight has room for one number only
    else:
        with torch.no_grad():
            tensor.copy_(held)
