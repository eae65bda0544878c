"""The cut between two blocks, which direct, local and synthetic-gradient rules share.

The cut is at the next block's *input*, so that pooling, normalisation and activations between two blocks belong to the first.
Direct and local rules detach the tensor there: autograd computes no error that crosses a block. These rules save this work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from lightning_fa.sharding import check_gathered
from lightning_fa.surgery import OWN_FORWARD, Behaviour
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.checkpoints import outside_checkpoints, recomputing
from lightning_fa.wiring.deliveries.delivery import Delivery
from lightning_fa.wiring.passes.beyond import mark
from lightning_fa.wiring.passes.course import Course, Tap
from lightning_fa.wiring.passes.doors import Doors
from lightning_fa.wiring.passes.isolation import Isolation
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.block_feedback import BlockFeedback
from lightning_fa.wiring.tensors import Entrances, exchange, tensors_in


class Bounded(Behaviour):
    """A block. Its input is cut from the block below. The output of the last block is routed."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__.get(OWN_FORWARD) or super().forward  # type: ignore[misc]
        if not torch.is_grad_enabled():
            return own(*args, **kwargs)
        cut, index = self._feedback_port
        again = recomputing()
        args, kwargs = cut.enter(index, args, kwargs, again)
        cut.course.inside = not again
        out = own(*args, **kwargs)
        cut.course.inside = False
        if cut.blocks[index].exit is self:
            return cut.end(index, out, again)
        if index < len(cut.blocks) - 1:
            return cut.passed(index, out)
        with outside_checkpoints():
            return cut.leave(out, again)


class Exit(Behaviour):
    """A module around a block. The block ends at the output of this module."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = (self.__dict__.get(OWN_FORWARD) or super().forward)(*args, **kwargs)  # type: ignore[misc]
        cut, index = self._feedback_port
        return cut.end(index, out, recomputing()) if torch.is_grad_enabled() else out


@dataclass(eq=False)
class Cut:
    """The methods that blocks call in a forward pass: ``enter``, ``passed``, ``enter``, ``passed``, ..., ``enter``, ``leave``.

    With ``again`` an activation checkpoint recomputes the pass inside backward, and nothing is recorded.
    """

    blocks: list[Block]
    """In the order in which the network calls them; the last is the head."""
    feedback: BlockFeedback
    """The tensors that the blocks hold."""
    step: Step
    """Targets, and terms for the loss."""
    course: Course
    """Which blocks were called."""
    isolation: Isolation
    """The proof that no true gradient passes."""
    delivery: Delivery
    """The part that depends on the rule's family: what crosses a cut, and what happens at the output."""
    doors: Doors = field(default_factory=Doors)
    """Where outputs that are handed on with their graphs enter other blocks."""
    entrances: Entrances = field(default_factory=Entrances)

    def enter(
        self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], again: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Record the output of the block below, which is among a block's inputs, and replace it by what crosses the cut."""
        if not again and self.course.enter(index, self.isolation.proven):
            self.step.begin()
            if not torch.compiler.is_compiling() and self.isolation.frozen:
                self.isolation.look_again()
        if index == 0:
            settler = None if again else self.delivery.settler
            return (args, kwargs) if settler is None else settler.begin(args, kwargs)
        if self.step.rehearsing or self.doors.found:
            args, kwargs = self.doors.enter(index, self.blocks[index].name, args, kwargs, self.step.rehearsing)
        if self.blocks[index - 1].exit is not None:
            return args, kwargs
        key, below = self.entrances.find(index, self.blocks[index].name, args, kwargs), self.blocks[index - 1].name
        return exchange(args, kwargs, key, lambda h: self._cross(below, h, again))

    def passed(self, index: int, out: Any) -> Any:
        """What block ``index``, which is below the head, returns in place of its output ``out``."""
        return out if self.delivery.passed is None else self.delivery.passed(index, out)

    def end(self, index: int, out: Any, again: bool) -> Any:
        """Cut a block at its own output: record the first tensor that requires a gradient, and replace it by what crosses.

        The other tensors in ``out``, such as the cell state of an LSTM, are detached, so that they receive no error.
        """
        name, tensors = self.blocks[index].name, [tensor for tensor in tensors_in(out) if tensor.requires_grad]
        if not tensors or not self.feedback.cuts(name):
            return out
        if not isinstance(out, (Tensor, tuple, list)):
            raise TypeError(
                f"Block {name!r} ends at its own output and returned a {type(out).__name__}: expected a tensor, or a tuple or "
                "list whose first tensor is the output. Or name a module that contains all its calls in `blocks=`."
            )
        if self.step.rehearsing:
            self.isolation.beside(name, tensors[1:])
        crossed, opened = self._cross(name, tensors[0], again), self.blocks[index].open
        first = self.doors.hand_on(name, tensors[0], self.step.rehearsing) if opened else crossed.clone()
        if not opened:
            self.isolation.bar(first)
        return tree_map_only(Tensor, lambda t: first if t is tensors[0] else t.detach() if t.requires_grad else t, out)

    def _cross(self, name: str, h: Tensor, again: bool) -> Tensor:
        ask = self.delivery.again if again else self.delivery.cross
        if again:
            return h.detach() if ask is None else ask(name, h)
        compiling = torch.compiler.is_compiling()  # no guard on `marks`, which changes once
        self.course.taps.append(Tap(name, h, 0 if compiling else h._version))
        if not compiling and self.course.marks:
            mark(name, h)
        if (self.step.rehearsing or not self.isolation.proven) and self.feedback.cuts(name):
            self.step.held.end(name, h)
        # Closed first: if `ask` raises (no targets), the next forward pass must start afresh.
        self.course.open = False
        crossed = h.detach() if ask is None else ask(name, h)
        self.course.open = True
        return crossed.clone() if compiling else crossed  # so that an operation in place does not change h

    def leave(self, output: Any, again: bool = False) -> Any:
        """Route the head's output, the last step of the forward pass."""
        if self.delivery.settler is not None:
            self.delivery.settler.end()
        if not isinstance(output, Tensor):
            head = self.blocks[-1].name
            raise TypeError(f"The head {head!r} returned a {type(output).__name__}, expected one tensor (the logits).")
        if again:
            return output
        rehearsing, taps = self.step.rehearsing, self.course.finish()
        if rehearsing or not (torch.compiler.is_compiling() or self.isolation.frozen is not None):
            self.doors.end()
            self.isolation.check(taps, output, rehearsing)
        layouts = [self.feedback.fit(name, tap, output, rehearsing) for name, tap, _ in taps]
        if not rehearsing:
            if self.feedback.rule.learned or not self.step.seen:
                check_gathered(self.feedback.all())
            output = self.delivery.finish(output, taps, layouts)
        self.step.finish()
        return output
