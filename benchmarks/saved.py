"""Counts the bytes that autograd holds for the backward pass. Every storage that a live node has saved is counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import TracebackType

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


class _Saved:
    """Replaces a saved tensor in its node, and reports when the node is freed."""

    def __init__(self, tensor: Tensor, freed: Callable[[Tensor], None]) -> None:
        self.tensor, self._freed = tensor, freed

    def __del__(self) -> None:
        self._freed(self.tensor)


class SavedBytes:
    """Context manager. Counts the tensors that are saved inside, until they are freed, without the model's own tensors.

    Args:
        model: The model, whose parameters and buffers are not counted. A tensor in the shape of a parameter counts as a
            gradient, so the batch must have another size than the layers.
    """

    def __init__(self, model: nn.Module) -> None:
        self.activations = 0
        """The bytes that are held now."""
        self.gradients = 0
        """The bytes of gradients that wait for the backward pass."""
        self.peak = 0
        """The largest value of :attr:`activations` so far."""
        # The storages are held, because a rule may replace a buffer, and another tensor could get its address.
        self._own = [t.untyped_storage() for t in (*model.parameters(), *model.buffers())]
        self._known = {storage.data_ptr() for storage in self._own}
        self._shapes = {p.shape for p in model.parameters()}
        self._times: Counter[int] = Counter()
        self._hooks = saved_tensors_hooks(self._pack, lambda saved: saved.tensor)

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._hooks.__exit__(kind, error, at)

    def _pack(self, tensor: Tensor) -> _Saved:
        key = tensor.untyped_storage().data_ptr()
        self._times[key] += 1
        if self._times[key] == 1:
            self._add(tensor, 1)
        return _Saved(
            tensor.detach(), self._free
        )  # detached: an output that refers to its own node would never be freed

    def _free(self, tensor: Tensor) -> None:
        key = tensor.untyped_storage().data_ptr()
        self._times[key] -= 1
        if not self._times[key]:
            del self._times[key]
            self._add(tensor, -1)

    def _add(self, tensor: Tensor, sign: int) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() in self._known:
            return
        if tensor.shape in self._shapes:
            self.gradients += sign * storage.nbytes()
        else:
            self.activations += sign * storage.nbytes()
            self.peak = max(self.peak, self.activations)


def gradient_bytes(model: nn.Module) -> int:
    """The bytes of one gradient for every trained parameter of ``model``."""
    return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
