"""Synthetic gradients in a model: between two blocks, a predictor answers the lower one and learns from the upper one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from lightning_fa.ops import predicted, route, scaled
from lightning_fa.rules.base import SyntheticRule
from lightning_fa.sharding import check_gathered
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.cut import CutWiring, outside_checkpoints
from lightning_fa.wiring.holding import key_of
from lightning_fa.wiring.rows import Layout, as_labels
from lightning_fa.wiring.targets import check_classes
from lightning_fa.wiring.trial import ROWS, try_rule

STEPS = "steps"
"""Letter of the buffer that counts the forward passes in which a predictor only learned."""


class SyntheticWiring(CutWiring):
    """Puts a tap after every block that ``rule.at`` names; the others hand the true gradient on."""

    rule: SyntheticRule
    needs_loss = True
    error = "SG(h, y)"

    def __init__(self, rule: SyntheticRule, blocks: Sequence[Block]) -> None:
        patterns = [rule.at] if isinstance(rule.at, str) else list(rule.at)
        names = [block.name for block in blocks[:-1]]
        idle = [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]
        if idle and names:
            raise ValueError(
                f"The pattern {idle[0]!r} in `at` matches no block below the head. They are: {', '.join(names)}."
            )
        self._at = {name for name in names if any(fnmatchcase(name, p) for p in patterns)}
        super().__init__(rule, blocks)
        self.needs_targets = rule.labels

    def feeds(self, name: str) -> bool:
        return name in self._at

    def holds_one(self, name: str) -> bool:
        return False

    def initial(self, name: str, shape: torch.Size, layout: Layout) -> Mapping[str, Tensor]:
        rule, theta = self.rule, dict(self.rule.initial(name, layout.width, layout.outputs))
        h = torch.zeros(ROWS, layout.width)
        y = torch.zeros(ROWS, layout.outputs) if rule.labels else None
        try_rule(rule, "predict", name, lambda: rule.predict(h, y, theta), h.shape)
        if rule.warm_up:
            theta[STEPS] = torch.zeros((), dtype=torch.int64)
        return theta

    def cross(self, name: str, h: Tensor) -> Tensor:
        if not self.feeds(name):
            return h
        theta = self.theta(name)
        if self.rehearsing or not theta:
            return h.detach()
        check_gathered({key_of(name, letter): held for letter, held in theta.items()})
        steps = theta.pop(STEPS, None)
        applied = None
        if steps is not None:
            applied = steps >= self.rule.warm_up
            if self.modules[name].training:
                # A new tensor: compiled code may read the old one again in backward.
                setattr(self.modules[name], self.slots[key_of(name, STEPS)], steps + 1)
        with outside_checkpoints():
            s = self._predict(name, h, theta, applied)
            if not h.requires_grad and not s.requires_grad:
                return h.detach()
            out, unit = predicted(h, s, applied, self.rule.share)
        self._terms.append(unit)
        if not (self._checked or torch.compiler.is_compiling()):
            self._barriers.append(out.grad_fn)
        return out

    def again(self, name: str, h: Tensor) -> Tensor:
        # The recomputed operations must save what the first ones did, which depends on whether a gradient passes.
        trained = self.feeds(name) and (h.requires_grad or any(t.requires_grad for t in self.theta(name).values()))
        return h.detach().requires_grad_() if trained else h

    def _predict(self, name: str, h: Tensor, theta: dict[str, Tensor], applied: Tensor | None) -> Tensor:
        layout = self.layouts.get(name) or Layout(h.shape[-1], self.rule.outputs(theta), h.ndim > 2)
        seen = scaled(h, self.rule.alpha, applied) if self.rule.alpha and h.requires_grad else h.detach()
        with torch.autocast(h.device.type, enabled=False):
            rows = layout.positions(seen.to(next(iter(theta.values())).dtype))
            y = None
            if self.needs_targets:
                outputs = self.rule.outputs(theta)
                labels = as_labels(self.targets, len(h), len(rows) // len(h), outputs)
                if self.looks() and not self.targets.is_floating_point():  # type: ignore[union-attr]
                    check_classes(self.targets, max(outputs, 2))  # type: ignore[arg-type]  # one output: yes or no
                y = labels.to(rows.dtype)
            return layout.unite(self.rule.predict(rows, y, theta), h.shape)

    def finish(self, output: Tensor, taps: list[Tensor], layouts: list[Layout]) -> Tensor:
        routed, unit = route(output, None, [], [], joined=True)
        self._terms.append(unit)
        return routed
