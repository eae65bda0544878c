"""One forward pass through the blocks: which were called, in which order, and what their outputs were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor

from lightning_fa.wiring.blocks import Block

Tap: TypeAlias = tuple[str, Tensor]
"""The name of a block, and its output in one call."""


class Course:
    """Follows the calls of ``blocks`` from the first block to the head.

    Args:
        blocks: In the order of their first calls; the last is the head.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = list(blocks)
        self.taps: list[Tap] = []
        """The outputs of the blocks below the head so far, one for every call."""
        self.inside = False
        """True while a block's forward runs. Still true afterwards only if that forward raised."""
        self.open = False
        """Whether a pass has begun and its head is still to come."""
        self._called = 0
        """How many of the blocks that are called once, which is an order, have been called."""
        self._once = [i for i, block in enumerate(blocks) if not block.often]
        self.chain = not any(block.often or block.exit is not None for block in blocks)
        """Whether every block is called once, and ends where the next one begins."""

    def enter(self, index: int, proven: bool) -> bool:
        """A block is called.

        Args:
            index: Its number.
            proven: Whether a whole pass was seen before, so that one that ended before its head was ended by an error.

        Returns:
            Whether the call begins a forward pass.

        Raises:
            RuntimeError: another block should have been called; or the call would begin a pass, and the last one has not come
                to the head, and may be this very one.
        """
        begins = index == 0 and not (self.blocks[0].often and self.open and not self.inside)
        if begins:
            self._begin(proven)
        if self.blocks[index].often:
            due = self.open
        else:
            due = self.open and self._called < len(self._once) and self._once[self._called] == index
        if not due:
            raise self._disorder(index)
        self._called += not self.blocks[index].often
        return begins

    def _begin(self, proven: bool) -> None:
        unfinished = self.open and not proven and not self.inside
        self.drop()
        self.open = not unfinished
        if unfinished:
            raise RuntimeError(
                f"Block {self.blocks[0].name!r} was called again without a call of the head {self.blocks[-1].name!r} between: "
                "it is called several times in one forward pass: then pass `example=`, an input of the model, to `attach` (a "
                "LightningModule: set `example_input_array`), which shows where its calls end; or `forward` never called the "
                "head, so that no block received an error: name the modules that `forward` calls, the one that returns the "
                "logits last, in `blocks`, and those that it does not call, as a frozen teacher or another network, in "
                "`ungoverned`; or an error ended the pass before between two blocks: then call it again."
            )

    def finish(self) -> list[Tap]:
        """The head has returned: the outputs of the blocks below it.

        Raises:
            RuntimeError: a block was left out.
        """
        if self._called != len(self._once):
            raise self._disorder(len(self.blocks) - 1)
        taps = self.taps
        self.drop()
        return taps

    def drop(self) -> None:
        """Forget the pass that has begun."""
        self.taps, self.open, self.inside, self._called = [], False, False, 0

    def _disorder(self, index: int) -> RuntimeError:
        due = self._once[min(self._called, len(self._once) - 1)] if self.open else 0
        called, expected = self.blocks[index].name, self.blocks[due].name
        self.drop()
        return RuntimeError(
            f"Block {called!r} was called where {expected!r} was expected: a block is called twice in one forward pass, "
            "left out, or the blocks are called in another order. Pass `example=`, an input of the model, to `attach` (a "
            "LightningModule: set `example_input_array`), which shows the order, and the blocks that are called several times; "
            "or name blocks with `blocks=[...]` in the order of the calls (one that `forward` never calls into `ungoverned=`, or "
            "attach a rule to each of several networks)."
        )
