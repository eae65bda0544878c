"""Direct rules in a model: one node at the network's output hands every block below its error."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_fa.ops import route
from lightning_fa.rules.base import DirectRule
from lightning_fa.wiring.course import Tap
from lightning_fa.wiring.cut import CutWiring
from lightning_fa.wiring.rows import Layout
from lightning_fa.wiring.trial import ROWS, try_rule


@dataclass(frozen=True)
class Delivery:
    """What the router asks in backward: the rule's answer, in the shape and dtype of each block's output."""

    rule: DirectRule
    layouts: list[Layout]
    shapes: list[torch.Size]
    dtypes: list[torch.dtype]

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


class DirectWiring(CutWiring):
    """Delivers what a direct rule answers."""

    rule: DirectRule
    error = "deliver(e)"

    def initial(self, name: str, shape: torch.Size, layout: Layout) -> Tensor:
        rule = self.rule
        feedback = rule.initial(name, layout.width, layout.outputs)
        assert feedback is not None
        held, e = feedback.to("cpu", torch.float32), torch.zeros(ROWS, layout.outputs)
        expected = (ROWS, layout.width)
        try_rule(rule, "deliver", name, lambda: rule.deliver(e, held), expected)
        if rule.learned:
            h = torch.zeros(expected)
            try_rule(rule, "lesson", name, lambda: rule.lesson(e, h, held), held.shape)
        return feedback

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        outputs = [tap for _, tap in taps]
        delivery = Delivery(self.rule, layouts, [h.shape for h in outputs], [h.dtype for h in outputs])
        feedback = [self.theta(name)[""] for name, _ in taps]
        routed, unit = route(output, delivery, outputs, feedback, joined=self.rule.needs_loss)
        if self.rule.needs_loss:
            self._terms.append(unit)
        return routed
