"""Direct rules in a model: one autograd node at the network's output delivers the errors of the blocks below the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_fa.ops import route
from lightning_fa.rules.base import DirectRule
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.deliveries.trial import ROWS, try_rule
from lightning_fa.wiring.passes.course import Tap
from lightning_fa.wiring.passes.settling import Settler
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.block_feedback import BlockFeedback, Place, Sizes
from lightning_fa.wiring.stores.rows import Layout


@dataclass(frozen=True)
class Answers:
    """Answers the router in backward: calls the rule, and brings the result to the shape and dtype of each block's output."""

    rule: DirectRule
    layouts: Sequence[Layout]
    shapes: Sequence[tuple[int, ...]]  # no torch.Size, of which dynamo of PyTorch 2.8 keeps only the first number
    dtypes: Sequence[torch.dtype]

    def error(self, index: int, e: Tensor, factor: Tensor | None, feedback: Tensor) -> Tensor:
        rows = self.layouts[index].rows(e).to(feedback.dtype)
        if self.rule.linear:
            d = self.rule.deliver(rows, feedback)
        else:
            assert factor is not None
            d = self.rule.deliver(rows / factor, feedback) * factor
        return self.layouts[index].spread(d.to(self.dtypes[index]), self.shapes[index])

    def lesson(self, index: int, e: Tensor, factor: Tensor | None, feedback: Tensor, h: Tensor) -> Tensor:
        layout = self.layouts[index]
        return self.rule.lesson(layout.rows(e).to(feedback.dtype), layout.features(h.to(feedback.dtype)), feedback)


class Direct:
    """Delivers ``rule.deliver(e, B)`` to every block below the head."""

    settler = passed = cross = again = None
    opens = True

    def __init__(self, rule: DirectRule, feedback: BlockFeedback, step: Step, settler: Settler) -> None:
        self.rule, self.store, self.step, self.joined = rule, feedback.store, step, rule.needs_loss

    @staticmethod
    def places(rule: DirectRule, blocks: Sequence[Block]) -> dict[str, Place]:
        return {block.name: Place(block.module, "deliver(e)") for block in blocks[:-1]}

    @staticmethod
    def initial(rule: DirectRule, name: str, sizes: Sizes) -> Tensor:
        width, outputs = sizes
        feedback = rule.initial(name, width, outputs)
        assert feedback is not None
        held, e, expected = feedback.to("cpu", torch.float32), torch.zeros(ROWS, outputs), (ROWS, width)
        try_rule(rule, "deliver", name, lambda: rule.deliver(e, held), expected)
        if rule.learned:
            h = torch.zeros(expected)
            try_rule(rule, "lesson", name, lambda: rule.lesson(e, h, held), held.shape)
        return feedback

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        outputs = [tap.value() if self.rule.learned else tap.h for tap in taps]
        answers = Answers(self.rule, layouts, [tuple(h.shape) for h in outputs], [h.dtype for h in outputs])
        feedback: list[Tensor] = [self.store.get(tap.name) for tap in taps]  # type: ignore[misc]  # drawn by now
        routed, unit = route(output, answers, outputs, feedback, joined=self.joined)
        if self.joined:
            self.step.terms.append(unit)
        return routed


class Nothing:
    """Delivers nothing: the blocks below the head are frozen while the rule is attached."""

    settler = passed = cross = again = None
    opens = False

    def __init__(self, rule: DirectRule, feedback: BlockFeedback, step: Step, settler: Settler) -> None:
        """No argument is used."""

    @staticmethod
    def places(rule: DirectRule, blocks: Sequence[Block]) -> dict[str, Place]:
        return {block.name: Place(block.module, "none, frozen", cut=False, holds="nothing") for block in blocks[:-1]}

    @staticmethod
    def initial(rule: DirectRule, name: str, sizes: Sizes) -> dict[str, Tensor]:
        return {}

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        return output
