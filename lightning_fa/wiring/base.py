"""What the families' wirings have in common: the feedback lives on modules, where no `state_dict` sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_fa.surgery import FEEDBACK, release


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
        self.rehearsing = False
        """Whether a forward pass only serves to find shapes and to check the cut."""
        self.holders: dict[str, nn.Module] = {}
        """Name of a block or layer -> the module that holds its feedback."""

    def remove(self) -> None:
        for module in self.adopted:
            release(module)
        for module in self.holders.values():
            module._parameters.pop(FEEDBACK, None)
            module._buffers.pop(FEEDBACK, None)
            module._non_persistent_buffers_set.discard(FEEDBACK)
        self.adopted = []

    def held(self, name: str) -> Tensor | None:
        """The live feedback of a block or layer, if it exists yet."""
        module = self.holders[name]
        return module._parameters.get(FEEDBACK, module._buffers.get(FEEDBACK))

    def feedback(self) -> Iterator[tuple[str, Tensor]]:
        """The live feedback tensors that exist so far, by name, in the order of depth."""
        for name in self.holders:
            held = self.held(name)
            if held is not None:
                yield name, held

    def hold(self, name: str, feedback: Tensor, learned: bool = False) -> None:
        """Keep ``feedback`` on its module: as a parameter if it is learned, else as a buffer; in no ``state_dict``."""
        module = self.holders[name]
        if learned:
            module.register_parameter(FEEDBACK, nn.Parameter(feedback))
        else:
            module.register_buffer(FEEDBACK, feedback, persistent=False)

    def restore(self, name: str, saved: Tensor) -> None:
        """Put a saved feedback tensor back: into the tensor that is there, which an optimizer may know, if it fits."""
        if name not in self.holders:
            raise ValueError(f"The checkpoint has feedback for {name!r}, which is no block or layer here.")
        held = self.held(name)
        if held is not None and held.shape == saved.shape:
            with torch.no_grad():
                held.copy_(saved)
        elif isinstance(held, nn.Parameter):
            raise ValueError(
                f"The checkpoint's feedback for {name!r} has shape {tuple(saved.shape)}, expected {tuple(held.shape)}."
            )
        else:
            self.hold(name, saved.to(next(self.holders[name].parameters()).device))

    def check_ready(self) -> None:  # noqa: B027 (most rules can always begin)
        """Raise where the rule cannot begin to train, once it is attached and any rehearsal is over."""

    @abstractmethod
    def table(self) -> list[Row]:
        """Which module is governed, and how."""

    def join(self, loss: Tensor) -> Tensor:
        """The loss with the terms of the last forward pass; its value is unchanged."""
        return loss
