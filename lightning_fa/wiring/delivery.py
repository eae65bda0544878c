"""What a family of rules says where the graph is cut between blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from lightning_fa.wiring.block_feedback import Place, Sizes
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.course import Tap
from lightning_fa.wiring.rows import Layout
from lightning_fa.wiring.settling import Settler


class Delivery(Protocol):
    """Hands blocks their errors. ``None`` for a hook: between blocks nothing happens but that the gradient is cut."""

    @staticmethod
    def places(rule: Any, blocks: Sequence[Block]) -> dict[str, Place]:
        """The blocks below the head. Raises a ``ValueError`` where the rule does not fit them."""

    @staticmethod
    def initial(rule: Any, name: str, sizes: Sizes) -> Tensor | Mapping[str, Tensor]:
        """What block ``name`` holds: one tensor, or one per letter."""

    @property
    def settler(self) -> Settler | None:
        """Computes gradients in the forward pass, where blocks need nothing from above."""

    @property
    def passed(self) -> Callable[[int, Any], Any] | None:
        """``(index, out)``: what a block below the head returns for its own ``out``."""

    @property
    def cross(self) -> Callable[[str, Tensor], Tensor] | None:
        """``(name, h)``: what enters the next block for the output h of a block."""

    @property
    def again(self) -> Callable[[str, Tensor], Tensor] | None:
        """The same in a checkpoint's recomputation, where nothing is recorded."""

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        """The network's output, from which the errors come; ``taps`` are the outputs of the blocks below, by name."""
