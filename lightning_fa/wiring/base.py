"""The interface by which :class:`lightning_fa.Attached` uses a rule in a model, and what its two implementations share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from lightning_fa.surgery import release
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.store import Store

ABOVE = "the true error of the block above"
"""The table's words for the error of a block without a predictor, under a rule with synthetic gradients."""


class Row(NamedTuple):
    """One line of the table that ``print(attached)`` shows."""

    name: str
    module: str
    governs: str
    error: str
    feedback: str


class Wiring(Protocol):
    """A rule in a model. It cuts the graph between blocks (``CutWiring``), or it changes every layer (``TransportWiring``)."""

    adopted: list[nn.Module]
    """The modules whose class was exchanged."""

    @property
    def store(self) -> Store: ...
    @property
    def step(self) -> Step: ...

    def lay(self) -> None:
        """Put the rule into the model. After an error :meth:`remove` makes the model plain again."""

    def remove(self) -> None:
        """Take the rule out of the model and leave nothing behind."""

    def check_ready(self) -> None:
        """Raise if the rule cannot begin to train. Called once, after the rule is attached and after any dry run."""

    def check_output(self, output: Any, ungoverned: Collection[Tensor]) -> None:
        """Check what the model returned in a dry run. ``ungoverned``: the excluded parameters."""

    def join(self, loss: Tensor) -> Tensor:
        """The loss, joined to the terms of the forward passes since the last loss. Its value is unchanged."""

    def suspended(self) -> AbstractContextManager[None]:
        """Inside the context the model is plain."""

    def forget(self) -> None:
        """Drop the terms that wait for a loss."""

    def restore(self, name: str, saved: Tensor) -> None:
        """Put a saved feedback tensor back."""

    def table(self, root: nn.Module) -> list[Row]:
        """Which weights of ``root`` are governed, and how."""

    def backward_weights(self, root: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
        """``(layer, backward weight, W)`` for every governed weight of a transport rule; nothing under other rules."""

    def predict(self, name: str, h: Tensor, targets: Tensor) -> Tensor | None:
        """The predicted gradient of each sample's loss at the output h of block ``name``; ``None`` without a predictor."""


def take_out(store: Store, adopted: Sequence[nn.Module]) -> None:
    """Restore the classes of the ``adopted`` modules, and remove the feedback."""
    store.check_removable()
    for module in adopted:
        release(module)
    store.remove()
