"""Local rules in a model: each block below the head minimises a loss of its own output. It is joined to the true loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lightning_fa.ops import route
from lightning_fa.rules.base import LocalRule
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.deliveries.targets import read_targets, warn_of_masked
from lightning_fa.wiring.passes.course import Tap
from lightning_fa.wiring.passes.settling import Settler
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.block_feedback import BlockFeedback, Place, Sizes
from lightning_fa.wiring.stores.rows import Layout
from lightning_fa.wiring.tensors import without_autocast


class Local:
    """Computes the local losses of a rule, right after each block whose gradients are due there, else at the output."""

    passed = again = None
    opens = True

    def __init__(self, rule: LocalRule, feedback: BlockFeedback, step: Step, settler: Settler) -> None:
        self.rule, self.feedback, self.step, self.settler = rule, feedback, step, settler

    @staticmethod
    def places(rule: LocalRule, blocks: Sequence[Block]) -> dict[str, Place]:
        return {
            block.name: Place(block.module, "own loss", holds="several" if rule.maps else "one")
            for block in blocks[:-1]
        }

    @staticmethod
    def initial(rule: LocalRule, name: str, sizes: Sizes) -> Tensor | Mapping[str, Tensor]:
        *shape, outputs = sizes
        feedback: Tensor | Mapping[str, Tensor] = rule.initial(name, shape if rule.maps else shape[0], outputs)
        return feedback

    def cross(self, name: str, h: Tensor) -> Tensor:
        layout = self.settler.due(name, h)
        if layout is not None:
            loss = self._loss(name, h, layout)
            scale = self.settler.factor.like(loss)
            self.settler.settle(loss, scale.expand_as(loss), scale)
            self.settler.let_go()
        return h.detach()

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        routed, unit = route(output, None, [], [], joined=True)
        self.step.terms.append(unit)
        first, targets = not (torch.compiler.is_compiling() or self.step.seen), self.step.targets
        if first and targets is not None and routed.requires_grad:
            routed.register_hook(lambda e: warn_of_masked(e, targets, self.rule))
        for tap, layout in zip(taps, layouts):
            if tap.h.requires_grad:
                self.step.terms.append(self._loss(tap.name, tap.value(), layout))
        return routed

    def _loss(self, name: str, tap: Tensor, layout: Layout) -> Tensor:
        rule, theta = self.rule, self.feedback.theta(name)
        h = tap.to(next(iter(theta.values())).dtype)
        h = layout.map(h) if rule.maps and not layout.per_position else layout.features(h)
        y = read_targets(self.step.targets, len(h), layout.outputs, rule, self.step.looks())
        with self.step.held.loss(name, tap, theta.values()), without_autocast(h):
            loss = rule.local_loss(h, y, theta.get("", theta))
        if loss.numel() != 1:
            raise ValueError(
                f"{type(rule).__name__}.local_loss for block {name!r}: expected a scalar, but got shape {tuple(loss.shape)}."
            )
        return loss
