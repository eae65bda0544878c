"""How many bytes autograd holds for the backward pass: every storage that a live node has saved, counted once."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


class _Saved:
    """What stands for a saved tensor until its node is freed."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class SavedBytes:
    """Context manager. Counts what is saved inside and still alive; parameters are not counted.

    Args:
        model: Whose parameters and buffers are there anyhow.
    """

    def __init__(self, model: nn.Module) -> None:
        self._known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
        self._alive: weakref.WeakSet[_Saved] = weakref.WeakSet()
        self._hooks = saved_tensors_hooks(self._pack, lambda saved: saved.tensor)

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._hooks.__exit__(kind, error, at)

    def now(self) -> int:
        """Bytes that are held now."""
        storages: dict[int, Any] = {}
        for saved in self._alive:
            storage = saved.tensor.untyped_storage()
            storages[storage.data_ptr()] = storage
        return sum(s.nbytes() for key, s in storages.items() if key not in self._known)

    def _pack(self, tensor: Tensor) -> _Saved:
        saved = _Saved(tensor.detach())  # an output that held its own node would never be freed
        self._alive.add(saved)
        return saved



def gradient_bytes(model: nn.Module) -> int:
    """Bytes of one gradient for every parameter of ``model`` that is trained."""
    return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
