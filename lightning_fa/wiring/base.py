"""What the two ways into a model have in common, and what :class:`lightning_fa.Attached` asks of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from lightning_fa.surgery import release
from lightning_fa.wiring.step import Step
from lightning_fa.wiring.store import Store

ABOVE = "the true error of the block above"
"""What the table calls the error of a block that synthetic gradients leave to backpropagation."""


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
        """Enter the model. After an error :meth:`remove` makes it plain again."""

    def remove(self) -> None:
        """Leave the model without a trace."""

    def check_ready(self) -> None:
        """Raise where the rule cannot begin to train, once it is attached and any dry run is over."""

    def check_output(self, output: Any, ungoverned: Collection[Tensor]) -> None:
        """Check what the model returned in a dry run; ``ungoverned`` are parameters that are left to backpropagation."""

    def join(self, loss: Tensor) -> Tensor:
        """The loss with the terms of the forward passes since the last one; its value is unchanged."""

    def forget(self) -> None:
        """Drop the terms that wait for a loss."""

    def restore(self, name: str, saved: Tensor) -> None:
        """Put a saved feedback tensor back."""

    def table(self, root: nn.Module) -> list[Row]:
        """Which weights of ``root`` are governed, and how."""

    def backward_weights(self, root: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
        """``(layer, what carries the error in place of W, W)``, where the rule carries it layer by layer."""

    def predict(self, name: str, h: Tensor, targets: Tensor) -> Tensor | None:
        """The gradient of each sample's loss that is predicted at the output h of block ``name``, if any is."""


def take_out(store: Store, adopted: Sequence[nn.Module]) -> None:
    """Give ``adopted`` modules their class back, and take feedback off."""
    store.check_removable()
    for module in adopted:
        release(module)
    store.remove()
