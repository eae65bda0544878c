"""Feedback is stored on the modules of the model, so that it is moved, sharded and copied with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from lightning_fa.sharding import is_sharded, write
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.stores.averages import track


class Slot(NamedTuple):
    """A place for one tensor: the module that holds it, and its name there."""

    module: nn.Module
    key: str


class Store:
    """Feedback by the name of its block or layer. It is in no `state_dict` of the model.

    Args:
        forgetting: See :attr:`lightning_fa.Rule.forgetting`. If it is a number, the steps of optimizers move learned feedback as
            a running average with this factor.
    """

    def __init__(self, forgetting: float | None = None) -> None:
        self.slots: dict[str, Slot] = {}
        """In the order of depth. A slot may be empty."""
        self.forgetting = forgetting
        if forgetting is not None:
            track(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if state.get("forgetting") is not None:
            track(self)

    def open(self, name: str, module: nn.Module, key: str = FEEDBACK) -> None:
        """Declare where the tensor ``name`` is held."""
        self.slots[name] = Slot(module, key)

    def get(self, name: str) -> Tensor | None:
        """The live tensor, if it exists yet."""
        # By attribute, because FSDP keeps parameters outside of `_parameters` while it uses them.
        module, key = self.slots[name]
        held: Tensor | None = getattr(module, key, None)
        return held

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """The live tensors that exist so far, by name."""
        for name in self.slots:
            held = self.get(name)
            if held is not None:
                yield name, held

    def put(self, name: str, feedback: Tensor, learned: bool = False) -> None:
        """Hold ``feedback``: as a parameter if it is learned, else as a buffer."""
        module, key = self.slots[name]
        feedback = feedback.contiguous()  # FSDP2 requires it
        if learned:
            module.register_parameter(key, nn.Parameter(feedback))
        else:
            module.register_buffer(key, feedback, persistent=False)

    def restore(self, name: str, saved: Tensor) -> None:
        """Restore a saved tensor. It is copied into a present tensor of the same shape, which an optimizer may hold.

        Raises:
            ValueError: there is no such block or layer, or the present tensor has another shape.
        """
        if name not in self.slots:
            raise ValueError(f"The checkpoint has feedback for {name!r}, which is no block or layer here.")
        held = self.get(name)
        if held is None:
            self.put(name, saved.to(next(self.slots[name].module.parameters()).device))
        elif held.shape == saved.shape:
            write(held, saved)
        else:
            raise ValueError(
                f"The checkpoint's feedback for {name!r} has shape {list(saved.shape)}, but {list(held.shape)} is needed."
            )

    def full_names(self, root: nn.Module) -> list[str]:
        """The name of each tensor in ``root.named_parameters()`` or ``root.named_buffers()``, also before it is drawn."""
        names = {module: name for name, module in root.named_modules()}
        return [f"{names[module]}.{key}".lstrip(".") for module, key in self.slots.values()]

    def check_removable(self) -> None:
        """Check that the modules can drop their feedback.

        Raises:
            RuntimeError: FSDP has made learned feedback a part of its own tensors.
        """
        sharded = [name for name, held in self.items() if isinstance(held, nn.Parameter) and is_sharded(held)]
        if sharded:
            raise RuntimeError(
                f"Cannot detach the rule: the learned feedback of {', '.join(sharded)} is sharded with the model's own "
                "parameters (FSDP). Save a checkpoint and load it into the plain model."
            )

    def remove(self) -> None:
        """Drop all tensors."""
        for module, key in self.slots.values():
            module._parameters.pop(key, None)
            module._buffers.pop(key, None)
            module._non_persistent_buffers_set.discard(key)
