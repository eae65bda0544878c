"""The cut that direct, local and synthetic-gradient rules share: where one block's output enters the next block.

The cut is made at the next block's *input* (pooling, normalisation and activations between two blocks belong to the first)
and never with ``requires_grad``: autograd then computes no error that crosses a block, which is what these rules save.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lightning_fa.rules.base import Rule
from lightning_fa.sharding import check_gathered
from lightning_fa.surgery import Behaviour, adopt
from lightning_fa.wiring.base import Row, take_out
from lightning_fa.wiring.block_feedback import BlockFeedback
from lightning_fa.wiring.blocks import Block, carrier_of
from lightning_fa.wiring.bounded import Bounded, Exit
from lightning_fa.wiring.checkpoints import recomputing
from lightning_fa.wiring.course import Course
from lightning_fa.wiring.cut_table import rows_of
from lightning_fa.wiring.delivery import Delivery
from lightning_fa.wiring.isolation import Isolation
from lightning_fa.wiring.step import Step
from lightning_fa.wiring.store import Store
from lightning_fa.wiring.tensors import tensors_in


class CutWiring:
    """Cuts between blocks. What crosses a cut, and what happens at the output, ``delivery`` says.

    Args:
        blocks: In the order in which the network calls them; the last is the head.
        feedback: What they hold.
        step: Targets and terms.
        course: The forward pass.
        isolation: The proof that the cut is complete.
        delivery: The family.
        frozen: Parameters that do not learn while the rule is in the model.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        feedback: BlockFeedback,
        step: Step,
        course: Course,
        isolation: Isolation,
        delivery: Delivery,
        frozen: Sequence[nn.Parameter] = (),
    ) -> None:
        self.blocks, self.feedback, self.step, self.course = list(blocks), feedback, step, course
        self.isolation, self.delivery, self.frozen = isolation, delivery, list(frozen)
        self.adopted: list[nn.Module] = []

    @property
    def rule(self) -> Rule:
        return self.feedback.rule

    @property
    def store(self) -> Store:
        return self.feedback.store

    @property
    def owned(self) -> dict[str, list[Tensor]]:
        """See :attr:`Isolation.owned`."""
        return self.isolation.owned

    def lay(self) -> None:
        self.feedback.guess(self.blocks)
        for index, block in enumerate(self.blocks):
            self._adopt(block.module, Bounded, index)
            if block.exit is not None and block.exit is not block.module:
                self._adopt(block.exit, Exit, index)
        for parameter in self.frozen:
            parameter.requires_grad_(False)

    def _adopt(self, module: nn.Module, behaviour: type[Behaviour], index: int) -> None:
        adopt(module, behaviour, (self, index))
        self.adopted.append(module)

    def remove(self) -> None:
        take_out(self.store, self.adopted)
        for parameter in self.frozen:
            parameter.requires_grad_(True)
        self.adopted, self.frozen = [], []

    # -- one forward pass: enter, passed, enter, passed, ..., enter, leave ------------------------------------------------

    def enter(
        self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Record the tensor among a block's inputs that is the output of the block below, and hand on its value."""
        if not recomputing():
            if self.course.begins(index):
                self.step.begin()
                self.course.begin(self.isolation.proven)
            self.course.call(index)
        if index == 0:
            settler = self.delivery.settler
            return (args, kwargs) if settler is None else settler.begin(args, kwargs)
        if self.blocks[index - 1].exit is not None:
            return args, kwargs
        inputs: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        key = carrier_of(inputs)
        if key is None:
            raise TypeError(f"Block {self.blocks[index].name!r} was called without a tensor to cut the graph at.")
        inputs[key] = self._cut(self.blocks[index - 1].name, inputs[key])
        return tuple(inputs[i] for i in range(len(args))), {k: inputs[k] for k in kwargs}

    def passed(self, index: int, out: Any) -> Any:
        """What block ``index`` below the head returns for its own ``out``."""
        return out if self.delivery.passed is None else self.delivery.passed(index, out)

    def end(self, index: int, out: Any) -> Any:
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
        first = self._cut(name, tensors[0]).clone()  # what comes next may work in place
        return tree_map_only(Tensor, lambda t: first if t is tensors[0] else t.detach() if t.requires_grad else t, out)

    def _cut(self, name: str, h: Tensor) -> Tensor:
        again, cross = self.delivery.again, self.delivery.cross
        if recomputing():
            return h.detach() if again is None else again(name, h)
        self.course.taps.append((name, h))
        # Closed first: if `cross` raises (no targets), the next pass is no second call within this one.
        self.course.open = False
        crossed = h.detach() if cross is None else cross(name, h)
        self.course.open = True
        return crossed

    def leave(self, output: Any) -> Any:
        """Route the head's output, the last step of the forward pass."""
        if self.delivery.settler is not None:
            self.delivery.settler.end()
        if not isinstance(output, Tensor):
            head = self.blocks[-1].name
            raise TypeError(f"The head {head!r} returned a {type(output).__name__}, expected one tensor (the logits).")
        if recomputing():
            return output
        rehearsing, taps = self.step.rehearsing, self.course.finish()
        self.step.finish()
        self.isolation.check(taps, output, rehearsing)
        layouts = [self.feedback.fit(name, tap, output, rehearsing) for name, tap in taps]
        if rehearsing:
            return output
        if self.rule.learned:
            check_gathered(self.feedback.all())
        routed = self.delivery.finish(output, taps, layouts)
        if not torch.compiler.is_compiling():
            self.step.looked()
        return routed

    # -- around forward passes --------------------------------------------------------------------------------------------

    def check_ready(self) -> None:
        self.feedback.check_ready()

    def check_output(self, output: Any, ungoverned: Collection[Tensor]) -> None:
        self.isolation.check_output(output, ungoverned)

    def join(self, loss: Tensor) -> Tensor:
        joined = self.step.join(loss)
        if joined is not loss and self.delivery.settler is not None:
            self.delivery.settler.observe(joined)
        return joined

    def forget(self) -> None:
        self.step.forget()
        self.course.drop()

    def restore(self, name: str, saved: Tensor) -> None:
        self.feedback.restore(name, saved)

    def table(self, root: nn.Module) -> list[Row]:
        return rows_of(root, self.blocks, self.feedback, self.owned, self.adopted)

    def backward_weights(self, root: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
        return iter(())  # no error passes a block

    def predict(self, name: str, h: Tensor, targets: Tensor) -> Tensor | None:
        ask = getattr(self.delivery, "predict", None)
        predicted: Tensor | None = None if ask is None else ask(name, h, targets)
        return predicted
