"""How much memory a block holds until the backward pass: counted once, then scaled with the size of the block's output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

SMALL = 2**20
"""Savings up to this many bytes are ignored, because they are small beside PyTorch's own memory."""


class Held:
    """Bytes of the tensors that autograd saves for each block."""

    def __init__(self) -> None:
        self._graphs: dict[str, int] = {}
        self._outputs: dict[str, int] = {}
        self._losses: dict[str, float] = {}
        self._rates: dict[str, tuple[float, int]] = {}
        """Block -> (bytes that it holds per number in its output, bytes of its gradients)."""
        self._known: set[int] = set()
        self._open: dict[int, int] = {}
        """Address of a storage -> bytes. Emptied when a count ends, because a freed address may be used again."""
        self._counts = False
        self._saves: dict[str, float] | None = None

    def begin(self) -> None:
        """Begin a forward pass."""
        self._saves = None

    @contextmanager
    def dry_run(self) -> Iterator[None]:
        """Inside the context, tensors that autograd saves are counted for the block that ends next."""
        self._graphs, self._outputs, self._rates, self._counts = {}, {}, {}, True
        try:
            with saved_tensors_hooks(self._note, lambda saved: saved):
                yield
        finally:
            self._known, self._open, self._counts = set(), {}, False

    def given(self, tensors: Iterable[Tensor]) -> None:
        """The parameters and the inputs of the first block exist in any case, so they are not counted."""
        self._known = {_storage(tensor) for tensor in tensors if tensor.layout is torch.strided}

    def end(self, name: str, h: Tensor) -> None:
        """Record that block ``name`` ended with output h. Tensors that a block below holds already are not counted again."""
        if torch.compiler.is_compiling():  # in compiled code sizes are symbols, and no gradient is computed in forward
            return
        self._outputs[name] = h.numel()
        if self._counts:
            self._graphs[name] = sum(size for storage, size in self._open.items() if storage not in self._known)
            self._known |= self._open.keys()
            self._open = {}

    def loss(self, name: str, h: Tensor, feedback: Iterable[Tensor]) -> AbstractContextManager[None]:
        """Inside the context, saved tensors other than h and ``feedback`` count for the loss or predictor of block ``name``."""
        known = torch.compiler.is_compiling() or self.counted(name)
        return nullcontext() if known else self._count_loss(name, h, feedback)

    def counted(self, name: str) -> bool:
        """Whether :meth:`loss` has counted what is saved for block ``name``."""
        return name in self._losses

    def saves(self, name: str, h: Tensor, tensors: Callable[[str], Sequence[Tensor]]) -> dict[str, float]:
        """Block -> bytes by which its graph exceeds its gradients in this pass; empty if their sum is at most :data:`SMALL`.

        Args:
            name: The name of any block.
            h: The output of this block. The ratio of its size to the recorded size scales the sizes of all blocks.
            tensors: Returns the parameters and feedback of a block. The gradients of those that learn are counted.
        """
        if self._saves is None:
            times = h.numel() / max(self._outputs[name], 1)
            found = {}
            for other, size in self._outputs.items():
                if other not in self._rates:
                    self._rates[other] = self._rate(other, tensors(other), h.element_size())
                rate, gradients = self._rates[other]
                found[other] = times * size * rate - gradients
            self._saves = found if sum(max(saved, 0) for saved in found.values()) > SMALL else {}
        return self._saves

    def _rate(self, name: str, found: Sequence[Tensor], size: int) -> tuple[float, int]:
        # without a dry run the graph is assumed to hold as much as the output
        graph = self._graphs[name] / max(self._outputs[name], 1) if name in self._graphs else size
        gradients = sum(tensor.numel() * tensor.element_size() for tensor in found if tensor.requires_grad)
        return graph + self._losses.get(name, 0.0), gradients

    @contextmanager
    def _count_loss(self, name: str, h: Tensor, feedback: Iterable[Tensor]) -> Iterator[None]:
        known, self._open = {_storage(tensor) for tensor in (h, *feedback)}, {}
        with saved_tensors_hooks(self._note, lambda saved: saved):
            yield
        held = sum(size for storage, size in self._open.items() if storage not in known)
        self._losses[name], self._open = held / max(h.numel(), 1), {}
        self._rates.pop(name, None)

    def _note(self, tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided:  # the tensor's size, because its storage may hold a whole data set
            size, storage = tensor.numel() * tensor.element_size(), _storage(tensor)
            self._open[storage] = max(size, self._open.get(storage, 0))
        return tensor.detach()  # an output that was saved with its own node would never be freed


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
