"""The interface to :class:`lightning_fa.Attached` of a rule that cuts the graph between blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_fa.surgery import Behaviour, adopt, set_aside
from lightning_fa.wiring.base import Row, take_out
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.cut import Bounded, Cut, Exit
from lightning_fa.wiring.cut_table import rows_of
from lightning_fa.wiring.passes.beyond import Beyond
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.store import Store
from lightning_fa.wiring.tensors import tensors_in


class CutWiring:
    """Puts a rule into blocks, and takes it out.

    Args:
        cut: The blocks call its methods.
        beyond: Checks what acts on the head's output.
        frozen: Parameters that do not learn while the rule is in the model: a module and the name there.
    """

    def __init__(self, cut: Cut, beyond: Beyond, frozen: Sequence[tuple[nn.Module, str]] = ()) -> None:
        self.cut, self.beyond, self.frozen = cut, beyond, list(frozen)
        self.adopted: list[nn.Module] = []

    @property
    def store(self) -> Store:
        return self.cut.feedback.store

    @property
    def step(self) -> Step:
        return self.cut.step

    def lay(self) -> None:
        self.cut.feedback.guess(self.cut.blocks)
        for index, block in enumerate(self.cut.blocks):
            self._adopt(block.module, Bounded, index)
            if block.exit is not None and block.exit is not block.module:
                self._adopt(block.exit, Exit, index)
        self._let_learn(False)

    def _adopt(self, module: nn.Module, behaviour: type[Behaviour], index: int) -> None:
        adopt(module, behaviour, (self.cut, index))
        self.adopted.append(module)

    def remove(self) -> None:
        take_out(self.store, self.adopted)
        self._let_learn(True)
        self.adopted, self.frozen = [], []

    def _let_learn(self, learns: bool) -> None:
        for module, key in self.frozen:
            parameter = module._parameters.get(key)
            if parameter is not None:
                parameter.requires_grad_(learns)

    def check_ready(self) -> None:
        self.cut.feedback.check_ready()

    def check_output(self, output: Any, ungoverned: Collection[Tensor]) -> None:
        scored = self.cut.isolation.check_output(output, ungoverned)
        if scored is not None:
            self.beyond.check(tensors_in(output), scored)
            self.cut.course.marks = True

    def join(self, loss: Tensor) -> Tensor:
        if self.cut.course.open:
            raise self.cut.course.unended()
        # `seen`, because the check ends at the node of the router, which compiled code hides
        if self.step.seen and not (self.beyond.proven or torch.compiler.is_compiling()):
            self.beyond.check([loss])
            self.cut.course.marks = False
        joined, settler = self.step.join(loss), self.cut.delivery.settler
        if joined is not loss and settler is not None:
            settler.observe(joined)
        return joined

    def suspended(self) -> AbstractContextManager[None]:
        return set_aside(self.adopted)

    def forget(self) -> None:
        self.step.forget()
        self.cut.course.drop()

    def restore(self, name: str, saved: Tensor) -> None:
        self.cut.feedback.restore(name, saved)

    def table(self, root: nn.Module) -> list[Row]:
        return rows_of(root, self.cut.blocks, self.cut.feedback, self.cut.isolation.owned, self.adopted)

    def backward_weights(self, root: nn.Module) -> Iterator[tuple[str, Tensor, Tensor]]:
        return iter(())  # no error passes between blocks

    def predict(self, name: str, h: Tensor, targets: Tensor) -> Tensor | None:
        ask = getattr(self.cut.delivery, "predict", None)
        predicted: Tensor | None = None if ask is None else ask(name, h, targets)
        return predicted


def below_the_head(root: nn.Module, blocks: Sequence[Block]) -> list[tuple[nn.Module, str]]:
    """The parameters to freeze, each by its module and its name there, because FSDP2 may replace the tensor.

    Without a ``.grad`` no optimizer changes or decays them, and no reducer waits for them.
    """
    head = {id(p) for p in blocks[-1].module.parameters()}
    return [
        (module, key)
        for module in root.modules()
        for key, p in module._parameters.items()
        if p is not None and p.requires_grad and id(p) not in head
    ]
