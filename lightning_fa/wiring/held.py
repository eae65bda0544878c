"""What waits for the backward pass with a block: counted once, and scaled with the block's output from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class Held:
    """Bytes of the tensors that autograd saves for each block."""

    def __init__(self) -> None:
        self._graphs: dict[str, dict[int, int]] = {}
        self._outputs: dict[str, int] = {}
        self._losses: dict[str, float] = {}
        self._limits: dict[str, float] = {}
        self._open: dict[int, int] = {}

    @contextmanager
    def dry_run(self) -> Iterator[None]:
        """Inside, what is saved belongs to the block that ends next."""
        self._graphs, self._limits = {}, {}
        with saved_tensors_hooks(self._note, lambda saved: saved):
            yield
        self._open = {}

    def given(self, tensors: Iterable[Tensor]) -> None:
        """What enters the first block is there anyway."""
        self._graphs = {"": {_storage(tensor): 0 for tensor in tensors}}

    def end(self, name: str, h: Tensor) -> None:
        """Block ``name`` ends with its output h. What a block below holds already costs it nothing."""
        below = {storage for graph in self._graphs.values() for storage in graph}
        self._graphs[name] = {storage: size for storage, size in self._open.items() if storage not in below}
        self._outputs[name], self._open = h.numel(), {}

    def loss(self, name: str, h: Tensor, feedback: Iterable[Tensor]) -> AbstractContextManager[None]:
        """Inside, what is saved beside h and ``feedback`` belongs to the loss or the predictor of block ``name``."""
        known = torch.compiler.is_compiling() or name in self._losses
        return nullcontext() if known else self._count_loss(name, h, feedback)

    def elements(self, name: str, other: str, h: Tensor) -> int:
        """How large the output of block ``other`` is where that of block ``name`` is h; 0 without a dry run."""
        known = name in self._outputs and other in self._outputs
        return h.numel() * self._outputs[other] // max(self._outputs[name], 1) if known else 0

    def limit(self, name: str, size: int, tensors: Callable[[], Sequence[Tensor]]) -> float:
        """How many elements the output of block ``name`` has where the block holds as much as its gradients.

        Args:
            name: Of the block.
            size: Bytes of an element of the output. Without a dry run the graph is taken to hold as much as the output.
            tensors: Returns the block's parameters and feedback, which are there anyway; those that learn have gradients.
        """
        if name not in self._limits:
            found = tensors()
            own = {_storage(tensor) for tensor in found}
            held = sum(held for storage, held in self._graphs.get(name, {}).items() if storage not in own)
            share = held / max(self._outputs[name], 1) if name in self._outputs else size
            gradients = sum(t.numel() * t.element_size() for t in found if t.requires_grad)
            self._limits[name] = gradients / max(share + self._losses.get(name, 0.0), 1e-9)
        return self._limits[name]

    @contextmanager
    def _count_loss(self, name: str, h: Tensor, feedback: Iterable[Tensor]) -> Iterator[None]:
        known, self._open = {_storage(tensor) for tensor in (h, *feedback)}, {}
        with saved_tensors_hooks(self._note, lambda saved: saved):
            yield
        held = sum(size for storage, size in self._open.items() if storage not in known)
        self._losses[name], self._open = held / max(h.numel(), 1), {}
        self._limits.pop(name, None)

    def _note(self, tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided:  # a part of an example may have the storage of a whole data set
            size, storage = tensor.numel() * tensor.element_size(), _storage(tensor)
            self._open[storage] = max(size, self._open.get(storage, 0))
        return tensor.detach()  # an output that held its own node would never be freed


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
