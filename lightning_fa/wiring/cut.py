"""The cut that direct, local and synthetic-gradient rules share: where one block's output enters the next block.

The cut is made at the next block's *input* (pooling, normalisation and activations between two blocks belong to the first)
and never with ``requires_grad``: autograd then computes no error that crosses a block, which is what these rules save.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from lightning_fa.rules.base import Rule
from lightning_fa.sharding import check_gathered
from lightning_fa.surgery import Behaviour
from lightning_fa.wiring.block_feedback import BlockFeedback
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.checkpoints import outside_checkpoints, recomputing
from lightning_fa.wiring.course import Course
from lightning_fa.wiring.delivery import Delivery
from lightning_fa.wiring.isolation import Isolation
from lightning_fa.wiring.step import Step
from lightning_fa.wiring.tensors import entering, inputs_of, tensors_in, with_input


class Bounded(Behaviour):
    """A block whose input is cut from the block below, and, for the last one, whose output is routed."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        cut, index = self._feedback_port
        again = recomputing()
        args, kwargs = cut.enter(index, args, kwargs, again)
        cut.course.inside = not again
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        cut.course.inside = False
        if cut.blocks[index].exit is self:
            return cut.end(index, out, again)
        if index < len(cut.blocks) - 1:
            return cut.passed(index, out)
        with outside_checkpoints():
            return cut.leave(out, again)


class Exit(Behaviour):
    """A module around a block, whose output ends the block."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        cut, index = self._feedback_port
        return cut.end(index, out, recomputing()) if torch.is_grad_enabled() else out


@dataclass(eq=False)
class Cut:
    """What blocks call in a forward pass: ``enter``, ``passed``, ``enter``, ``passed``, ..., ``enter``, ``leave``.

    With ``again`` a checkpoint runs the pass once more, inside backward, and nothing is recorded.
    """

    blocks: list[Block]
    """In the order in which the network calls them; the last is the head."""
    feedback: BlockFeedback
    """What they hold."""
    step: Step
    """Targets, and terms for the loss."""
    course: Course
    """Which blocks were called."""
    isolation: Isolation
    """The proof that no true gradient passes."""
    delivery: Delivery
    """What the rule's family says: what crosses a cut, and what happens at the output."""

    @property
    def rule(self) -> Rule:
        return self.feedback.rule

    @property
    def owned(self) -> dict[str, list[Tensor]]:
        """See :attr:`Isolation.owned`."""
        return self.isolation.owned

    def enter(
        self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], again: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Record the tensor among a block's inputs that is the output of the block below, and hand on its value."""
        if not again and self.course.enter(index, self.isolation.proven):
            self.step.begin()
        if index == 0:
            settler = self.delivery.settler
            return (args, kwargs) if settler is None or again else settler.begin(args, kwargs)
        if self.blocks[index - 1].exit is not None:
            return args, kwargs
        inputs = inputs_of(args, kwargs)
        key = entering(inputs)
        if key is None:
            raise TypeError(f"Block {self.blocks[index].name!r} was called without a tensor to cut the graph at.")
        return with_input(args, kwargs, key, self._cross(self.blocks[index - 1].name, inputs[key], again))

    def passed(self, index: int, out: Any) -> Any:
        """What block ``index`` below the head returns for its own ``out``."""
        return out if self.delivery.passed is None else self.delivery.passed(index, out)

    def end(self, index: int, out: Any, again: bool) -> Any:
        """Record the output of a block that ends there, its first tensor with a gradient, and hand on its value.

        Other tensors that are returned beside it, as the memory of an LSTM's cell, receive no error.
        """
        tensors = [tensor for tensor in tensors_in(out) if tensor.requires_grad]
        name = self.blocks[index].name
        if not tensors or not self.feedback.cuts(name):
            return out
        if not isinstance(out, (Tensor, tuple, list)):
            raise TypeError(
                f"Block {name!r} ends at its own output and returned a {type(out).__name__}: expected a tensor, or a tuple or "
                "list whose first tensor is the output. Make a module that contains all its calls one block with `blocks=`."
            )
        if self.step.rehearsing:
            self.isolation.beside(name, tensors[1:])
        first = self._cross(name, tensors[0], again).clone()  # what comes next may work in place
        return tree_map_only(Tensor, lambda t: first if t is tensors[0] else t.detach() if t.requires_grad else t, out)

    def _cross(self, name: str, h: Tensor, again: bool) -> Tensor:
        ask = self.delivery.again if again else self.delivery.cross
        if again:
            return h.detach() if ask is None else ask(name, h)
        self.course.taps.append((name, h))
        if (self.step.rehearsing or not self.isolation.proven) and self.feedback.cuts(name):
            self.step.held.end(name, h)
        # Closed first: if the rule raises (no targets), the next pass is no second call within this one.
        self.course.open = False
        crossed = h.detach() if ask is None else ask(name, h)
        self.course.open = True
        return crossed

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
        self.isolation.check(taps, output, rehearsing)
        layouts = [self.feedback.fit(name, tap, output, rehearsing) for name, tap in taps]
        if not rehearsing:
            if self.feedback.rule.learned:
                check_gathered(self.feedback.all())
            output = self.delivery.finish(output, taps, layouts)
        self.step.finish()
        return output
