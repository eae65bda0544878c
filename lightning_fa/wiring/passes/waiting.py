"""Gradients of a forward pass that wait for the loss, and the factor that is expected before the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_fa.ops import settled


class Waiting:
    """The gradients of a pass. One autograd node hands out all of them: a node per block would cost as much as a small layer."""

    def __init__(self) -> None:
        self.places: list[Tensor] = []
        self._gradients: list[Tensor | None] = []
        self._scale: Tensor | None = None

    def add(self, places: Sequence[Tensor], gradients: Sequence[Tensor | None], scale: Tensor) -> None:
        """Keep one gradient for each of ``places``. Its factor ``scale`` is the same throughout a pass."""
        self.places += places
        self._gradients += gradients[: len(places)]
        self._scale = scale

    def term(self) -> Tensor:
        """A zero to be joined to the loss."""
        assert self._scale is not None
        return settled(self.places, self._gradients, self._scale)


class Factor:
    """The factor before the last loss that was differentiated."""

    def __init__(self) -> None:
        self.twice = False
        """Whether a loss was differentiated with ``create_graph=True``."""
        self._value: Tensor | None = None

    def like(self, tensor: Tensor) -> Tensor:
        """The factor as a scalar of the dtype and device of ``tensor``."""
        if self._value is None:
            self._value = tensor.new_ones(())
        return self._value.to(tensor.device, tensor.dtype)

    def note(self, factor: Tensor) -> None:
        """Record ``factor``, which stands before a loss that is being differentiated."""
        if torch.is_grad_enabled():
            self.twice = True
            return
        factor = factor.reshape(())
        if factor.device.type == "cpu":  # on another device reading the value would wait
            self._value = factor if 0 < abs(factor.item()) < math.inf else self._value
            return
        last = torch.ones_like(factor) if self._value is None else self._value.to(factor)
        self._value = torch.where(factor.isfinite() & (factor != 0), factor, last)
