"""What the families' wirings have in common: the feedback lives on modules, as buffers that no checkpoint contains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from lightning_fa.surgery import release

BUFFER = "_feedback"


class Row(NamedTuple):
    """One line of the table that ``print(attached)`` shows."""

    name: str
    module: str
    governs: str
    error: str
    feedback: str


class Wiring(ABC):
    """Abstract. Lays a rule into the modules it is constructed with; :meth:`remove` takes it out without a trace."""

    def __init__(self) -> None:
        self.adopted: list[nn.Module] = []
        self.targets: Tensor | None = None
        self.holders: dict[str, nn.Module] = {}
        """Name of a block or layer -> the module whose buffer holds its feedback."""

    def remove(self) -> None:
        for module in self.adopted:
            release(module)
        for module in self.holders.values():
            module._buffers.pop(BUFFER, None)
            module._non_persistent_buffers_set.discard(BUFFER)
        self.adopted = []

    def feedback(self) -> Iterator[tuple[str, Tensor]]:
        """The live feedback tensors that exist so far, by name, in the order of depth."""
        for name, module in self.holders.items():
            held = module._buffers.get(BUFFER)
            if held is not None:
                yield name, held

    def hold(self, name: str, feedback: Tensor) -> None:
        self.holders[name].register_buffer(BUFFER, feedback, persistent=False)

    def restore(self, name: str, saved: Tensor) -> None:
        """Put a saved feedback tensor back, on the device of its block."""
        if name not in self.holders:
            raise ValueError(f"The checkpoint has feedback for {name!r}, which is no block or layer here.")
        held = self.holders[name]._buffers.get(BUFFER)
        anchor = held if held is not None else next(self.holders[name].parameters())
        self.hold(name, saved.to(anchor.device))

    @abstractmethod
    def table(self) -> list[Row]:
        """Which module is governed, and how."""

    def join(self, loss: Tensor) -> Tensor:
        """The loss with the terms of the last forward pass; its value is unchanged."""
        return loss
