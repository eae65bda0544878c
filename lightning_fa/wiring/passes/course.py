"""One forward pass through the blocks: which blocks were called, in which order, and their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_fa.wiring.blocks.choice import Block


class Tap(NamedTuple):
    """The output of a block in one call."""

    name: str
    h: Tensor
    version: int
    """The number of operations in place on ``h`` before it entered the next block; 0 in compiled code, which cannot read it."""

    def value(self) -> Tensor:
        """``h`` as it entered the next block.

        Raises:
            RuntimeError: it has been changed in place since.
        """
        if not torch.compiler.is_compiling() and self.h._version != self.version:
            raise RuntimeError(
                f"The output of block {self.name!r} was changed in place after it entered the next block, but the rule reads it "
                "later. Use an operation that is not in place at the beginning of the next block, such as `nn.ReLU()` for "
                "`nn.ReLU(inplace=True)`. Or choose blocks with `blocks=[...]` that do not begin with this operation."
            )
        return self.h


CALLED = (
    "name the modules that `forward` calls in `blocks`, last the module that returns the logits, and name the modules that it "
    "does not call with gradients, such as a frozen teacher, a target network or another network, in `ungoverned`"
)


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
        """Whether a pass has begun and has not reached the head."""
        self.marks = False
        """Whether to mark the autograd nodes at which blocks end, for the check of the loss."""
        self._called = 0
        """How many of the blocks in ``_once`` have been called."""
        self._once = [i for i, block in enumerate(blocks) if not block.often]
        self.chain = not any(block.often or block.exit is not None for block in blocks)
        """Whether every block is called once, and ends where the next block begins."""

    def enter(self, index: int, proven: bool) -> bool:
        """Record the call of a block.

        Args:
            index: The number of the block.
            proven: Whether a whole pass was seen before. If so, a pass that stopped before the head was ended by an error.

        Returns:
            Whether the call begins a forward pass.

        Raises:
            RuntimeError: another block should have been called; or the call begins a pass although the last pass has not
                reached the head and may still be running.
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
        if not self.blocks[index].often:  # dynamo of PyTorch 2.8 cannot add a bool to a symbolic int
            self._called += 1
        return begins

    def _begin(self, proven: bool) -> None:
        unfinished = self.open and not proven and not self.inside
        self.drop()
        self.open = not unfinished
        if unfinished:
            raise RuntimeError(
                f"Block {self.blocks[0].name!r} was called again before the head {self.blocks[-1].name!r} was called. One of "
                "three things happened. The block is called several times in one forward pass: then pass `example=`, an input "
                "of the model, to `attach` (a LightningModule: set `example_input_array`), which shows where its calls end. Or "
                f"`forward` never called the head, so that no block received an error: {CALLED}. Or an error ended the last "
                "pass between two blocks: then call the model again."
            )

    def unended(self) -> RuntimeError:
        """The error of a loss that is known before the pass has reached the head: it would train no block. Drops the pass."""
        self.drop()
        return RuntimeError(
            f"The head {self.blocks[-1].name!r} was not called before the loss, so that no block received an error: {CALLED}."
        )

    def finish(self) -> list[Tap]:
        """End the pass after the head has returned, and return the outputs of the blocks below the head.

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
            "left out (also by a checkpoint with `use_reentrant=True`, which runs it without gradients: use "
            "`use_reentrant=False`), or the blocks are called in another order. Pass `example=`, an input of the model, to "
            "`attach` (a LightningModule: set `example_input_array`), which shows the order and the blocks that are called "
            "several times. Or name the blocks with `blocks=[...]` in the order of the calls. Name a block that `forward` never "
            "calls in `ungoverned=`, or, if there are several networks, attach a rule to each of them."
        )
