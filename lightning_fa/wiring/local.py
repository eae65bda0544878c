"""Local rules in a model: each block below the head descends a loss of its own output, which is joined to the true one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_fa.ops import route
from lightning_fa.rules.base import LocalRule
from lightning_fa.wiring.course import Tap
from lightning_fa.wiring.rows import Layout
from lightning_fa.wiring.settling import SettlingWiring
from lightning_fa.wiring.targets import read_targets


class LocalWiring(SettlingWiring):
    """Joins the local losses of a rule."""

    rule: LocalRule
    error = "own loss"

    def initial(self, name: str, shape: torch.Size, layout: Layout) -> Tensor | Mapping[str, Tensor]:
        width = layout.width if not self.rule.maps else shape[-1:] if layout.per_position else shape[1:]
        feedback: Tensor | Mapping[str, Tensor] = self.rule.initial(name, width, layout.outputs)
        return feedback

    def holds_one(self, name: str) -> bool:
        return not self.rule.maps

    def fit_key(self, shape: torch.Size, layout: Layout) -> tuple[int, ...]:
        if self.rule.maps and not layout.per_position:
            return (*shape[1:], layout.outputs)
        return layout.width, layout.outputs

    def cross(self, name: str, h: Tensor) -> Tensor:
        layout = self.ready(name, h) if h.requires_grad else None
        if layout is not None:
            with torch.autocast(h.device.type, enabled=False):
                loss = self._loss(name, h, layout)
            scale = self.scale(loss)
            self.settle(loss, scale.expand_as(loss), scale)
            self.let_go()
        return h.detach()

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        routed, unit = route(output, None, [], [], joined=True)
        self._terms.append(unit)
        for (name, tap), layout in zip(taps, layouts):
            if tap.requires_grad:
                with torch.autocast(tap.device.type, enabled=False):
                    self._terms.append(self._loss(name, tap, layout))
        return routed

    def _loss(self, name: str, tap: Tensor, layout: Layout) -> Tensor:
        rule, theta = self.rule, self.theta(name)
        h = tap.to(next(iter(theta.values())).dtype)
        h = h if rule.maps and not layout.per_position else layout.features(h)
        loss = rule.local_loss(h, self._read(len(h), layout.outputs), theta.get("", theta))
        if loss.numel() != 1:
            raise ValueError(
                f"{type(rule).__name__}.local_loss for block {name!r}: expected a scalar, but got shape {tuple(loss.shape)}."
            )
        return loss

    def _read(self, rows: int, outputs: int) -> Tensor:
        return read_targets(self.targets, rows, outputs, self.rule, self.looks())
