"""What the families' wirings have in common: the feedback lives on modules, where no `state_dict` sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_fa.sharding import is_sharded, write
from lightning_fa.surgery import FEEDBACK, governed, release

ABOVE = "the true error of the block above"
"""What the table calls the error of a block that synthetic gradients leave to backpropagation."""


class Row(NamedTuple):
    """One line of the table that ``print(attached)`` shows."""

    name: str
    module: str
    governs: str
    error: str
    feedback: str


class Wiring(ABC):
    """Abstract. Lays a rule into the modules it is constructed with; :meth:`remove` takes it out without a trace."""

    observes_loss = False
    """Whether :meth:`join` checks the graph of the loss."""

    def __init__(self) -> None:
        self.adopted: list[nn.Module] = []
        self.targets: Tensor | None = None
        self.rehearsing = False
        """Whether a forward pass only serves to find shapes and to check the cut."""
        self.keeping = False
        """Whether graphs are kept for ``backward()`` where gradients could be computed in the forward pass."""
        self.holders: dict[str, nn.Module] = {}
        """Name of a block or layer -> the module that holds its feedback."""
        self.slots: dict[str, str] = {}
        """Under which name it does so, where a module holds several."""

    @property
    def suspended(self) -> bool:
        """Whether the rule is set aside for a moment; see :meth:`lightning_fa.Attached.suspended`."""
        return any(not governed(module) for module in self.adopted)

    def remove(self) -> None:
        sharded = [name for name, held in self.feedback() if isinstance(held, nn.Parameter) and is_sharded(held)]
        if sharded:
            raise RuntimeError(
                f"Cannot detach the rule: the learned feedback of {', '.join(sharded)} is sharded with the model's own "
                "parameters (FSDP). Save a checkpoint and load it into the plain model."
            )
        for module in self.adopted:
            release(module)
        for name, module in self.holders.items():
            slot = self.slots.get(name, FEEDBACK)
            module._parameters.pop(slot, None)
            module._buffers.pop(slot, None)
            module._non_persistent_buffers_set.discard(slot)
        self.adopted = []

    @contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Around what may refuse the user's feedback, so that a refused rule leaves the model plain."""
        try:
            yield
        except Exception:
            self.remove()
            raise

    def held(self, name: str) -> Tensor | None:
        """The live feedback of a block or layer, if it exists yet."""
        # By attribute, since FSDP keeps parameters elsewhere while it uses them.
        held: Tensor | None = getattr(self.holders[name], self.slots.get(name, FEEDBACK), None)
        return held

    def slot_names(self, root: nn.Module) -> list[str]:
        """Full names of all feedback in ``root``, also of what is not drawn yet."""
        names = {module: name for name, module in root.named_modules()}
        return [f"{names[m]}.{self.slots.get(name, FEEDBACK)}".lstrip(".") for name, m in self.holders.items()]

    def feedback(self) -> Iterator[tuple[str, Tensor]]:
        """The live feedback tensors that exist so far, by name, in the order of depth."""
        for name in self.holders:
            held = self.held(name)
            if held is not None:
                yield name, held

    def hold(self, name: str, feedback: Tensor, learned: bool = False) -> None:
        """Keep ``feedback`` on its module: as a parameter if it is learned, else as a buffer; in no ``state_dict``."""
        module, slot = self.holders[name], self.slots.get(name, FEEDBACK)
        feedback = feedback.contiguous()  # FSDP2 asks for it
        if learned:
            module.register_parameter(slot, nn.Parameter(feedback))
        else:
            module.register_buffer(slot, feedback, persistent=False)

    def restore(self, name: str, saved: Tensor) -> None:
        """Put a saved feedback tensor back: into the tensor that is there, which an optimizer may know, if it fits."""
        if name not in self.holders:
            raise ValueError(f"The checkpoint has feedback for {name!r}, which is no block or layer here.")
        held = self.held(name)
        if held is not None and held.shape == saved.shape:
            write(held, saved)
        elif isinstance(held, nn.Parameter):
            raise ValueError(
                f"The checkpoint's feedback for {name!r} has shape {tuple(saved.shape)}, expected {tuple(held.shape)}."
            )
        else:
            self.hold(name, saved.to(next(self.holders[name].parameters()).device))

    def check_ready(self) -> None:  # noqa: B027 (most rules can always begin)
        """Raise where the rule cannot begin to train, once it is attached and any rehearsal is over."""

    @abstractmethod
    def table(self, root: nn.Module) -> list[Row]:
        """Which weights of ``root`` are governed, and how."""

    def backward_weights(self, root: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
        """``(layer, what carries the error in place of W, W)``, where the rule carries it layer by layer."""
        return iter(())

    def predict(self, name: str, h: Tensor, targets: Tensor) -> Tensor | None:
        """The gradient of each sample's loss that is predicted at the output h of block ``name``, if any is."""
        return None

    def prove_output(self, output: Any, ungoverned: Collection[Tensor] = ()) -> None:  # noqa: B027 (transport: a hook has)
        """Check what the model returned in a rehearsal."""

    def join(self, loss: Tensor) -> Tensor:
        """The loss with the terms of the forward passes since the last one; its value is unchanged."""
        return loss

    def forget(self) -> None:  # noqa: B027 (most rules have no terms)
        """Drop the terms that wait for a loss."""


def recomputing() -> bool:
    """Whether non-reentrant activation checkpointing runs a forward pass again, inside backward: nothing is recorded then."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1
