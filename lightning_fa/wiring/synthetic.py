"""Synthetic gradients in a model: between two blocks, a predictor answers the lower one and learns from the upper one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_fa.ops import predicted, route, scaled
from lightning_fa.ops.route import NOT_SCORED
from lightning_fa.rules.base import SyntheticRule
from lightning_fa.sharding import check_gathered
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.course import Tap
from lightning_fa.wiring.cut import outside_checkpoints
from lightning_fa.wiring.holding import key_of
from lightning_fa.wiring.rows import Layout, as_labels
from lightning_fa.wiring.settling import SettlingWiring
from lightning_fa.wiring.targets import check_classes
from lightning_fa.wiring.trial import ROWS, try_rule

STEPS = "steps"
"""Letter of the buffer that counts the forward passes in which a predictor only learned."""


class Asked(NamedTuple):
    """What a predictor waits for: the gradient that the blocks above it compute at ``entrance``, their input."""

    entrance: Tensor
    s: Tensor
    d: Tensor


class SyntheticWiring(SettlingWiring):
    """Puts a tap after every block that ``rule.at`` names; the others hand the true gradient on."""

    rule: SyntheticRule
    error = "SG(h, y)"

    def __init__(self, rule: SyntheticRule, blocks: Sequence[Block], root: nn.Module) -> None:
        patterns = [rule.at] if isinstance(rule.at, str) else list(rule.at)
        names = [block.name for block in blocks[:-1]]
        idle = [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]
        if idle and names:
            raise ValueError(
                f"The pattern {idle[0]!r} in `at` matches no block below the head. They are: {', '.join(names)}."
            )
        self._at = {name for name in names if any(fnmatchcase(name, p) for p in patterns)}
        fed = [name for name in names if name in self._at]
        self._first, self._last = (fed[0], fed[-1]) if fed else ("", "")
        self._settling = False
        """Whether all below is settled, but for the predictor that has asked."""
        self._asked: Asked | None = None
        super().__init__(rule, blocks, root)

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
        if name == self._first:
            self._asked = None  # of a pass that an error has ended
        again = any(name == earlier for earlier, _ in self.course.taps[:-1])
        theta = self.theta(name)
        if self.rehearsing or not theta:
            return h.detach()
        check_gathered({key_of(name, letter): held for letter, held in theta.items()})
        steps = theta.pop(STEPS, None)
        applied = None
        if steps is not None:
            counts = self.modules[name].training
            applied = (steps - 1 if again and counts else steps) >= self.rule.warm_up
            if counts and not again:
                # A new tensor: compiled code may read the old one again in backward.
                setattr(self.modules[name], self.slots[key_of(name, STEPS)], steps + 1)
        goes_on = self.ready(name, h) is not None
        settles = self._settling if name != self._first else goes_on and not self.rule.alpha and steps is None
        with outside_checkpoints():
            s = self._predict(name, h, theta, applied)
            if settles:
                return self._answer(name, h, s, goes_on)
            if not h.requires_grad and not s.requires_grad:
                return h.detach()
            out, unit = predicted(h, s, applied, self.rule.share)
        self._terms.append(unit)
        if not (self._checked or torch.compiler.is_compiling()):
            self._barriers.append(out.grad_fn)
        return out

    def _answer(self, name: str, h: Tensor, s: Tensor, goes_on: bool) -> Tensor:
        # With s the error at h is known. It gives what the entrance of the blocks below receives, from which the predictor
        # there learns. Only the predictor below the head has to wait for the true loss.
        scale = self.scale(s)
        with torch.no_grad():
            d = scale * s / len(s)
            error = (self.rule.share * d).to(h.dtype)
        asked, self._asked = self._asked, None
        true = self.settle(h, error, scale, asked and asked.entrance) if h.requires_grad else None
        if asked is not None:
            if true is None:
                raise RuntimeError(NOT_SCORED)
            self.settle(asked.s, 2 * (asked.d - true.to(asked.d.dtype)), self.scale(asked.d))
        self.let_go()
        h, self._settling = h.detach(), True
        if not s.requires_grad:
            return h
        if goes_on and name != self._last:
            self._asked = Asked(h.requires_grad_(), s, d)
            return h.clone()
        out, unit = predicted(h, s, None, self.rule.share)
        self._terms.append(unit)
        self._settling = False
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
            if self.rule.needs_targets:
                outputs = self.rule.outputs(theta)
                labels = as_labels(self.targets, len(h), len(rows) // len(h), outputs)
                if self.looks() and not self.targets.is_floating_point():  # type: ignore[union-attr]
                    check_classes(self.targets, max(outputs, 2))  # type: ignore[arg-type]  # one output: yes or no
                y = labels.to(rows.dtype)
            return layout.unite(self.rule.predict(rows, y, theta), h.shape)

    def predict(self, name: str, h: Tensor, targets: Tensor) -> Tensor | None:
        theta = self.theta(name) if self.feeds(name) else {}
        theta.pop(STEPS, None)
        if not theta:
            return None
        before, self.targets = self.targets, targets
        try:
            return self._predict(name, h, theta, None)
        finally:
            self.targets = before

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        routed, unit = route(output, None, [], [], joined=True)
        self._terms.append(unit)
        return routed
