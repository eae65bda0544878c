"""The interface of a family of rules that cuts the graph between blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.passes.course import Tap
from lightning_fa.wiring.passes.settling import Settler
from lightning_fa.wiring.stores.block_feedback import Place, Sizes
from lightning_fa.wiring.stores.rows import Layout


class Delivery(Protocol):
    """Hands blocks their errors. A hook may be ``None``: then the graph is cut between blocks, and nothing else happens."""

    opens: bool
    """Whether nothing but what blocks compute crosses a cut, so that a block's output can be handed on with its graph."""

    @staticmethod
    def places(rule: Any, blocks: Sequence[Block]) -> dict[str, Place]:
        """The blocks below the head. Raises a ``ValueError`` if the rule does not fit them."""

    @staticmethod
    def initial(rule: Any, name: str, sizes: Sizes) -> Tensor | Mapping[str, Tensor]:
        """The feedback of block ``name``: one tensor, or one tensor per letter."""

    @property
    def settler(self) -> Settler | None:
        """Computes gradients in the forward pass, for families whose blocks need nothing from above."""

    @property
    def passed(self) -> Callable[[int, Any], Any] | None:
        """``(index, out)``: what block ``index``, which is below the head, returns in place of its output ``out``."""

    @property
    def cross(self) -> Callable[[str, Tensor], Tensor] | None:
        """``(name, h)``: what enters the next block in place of h, the output of block ``name``."""

    @property
    def again(self) -> Callable[[str, Tensor], Tensor] | None:
        """As :attr:`cross`, while an activation checkpoint recomputes a pass. Nothing is recorded then."""

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        """The network's output, from which the errors come. ``taps``: the outputs of the blocks below the head, by name."""
