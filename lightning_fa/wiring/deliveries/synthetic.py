"""Synthetic gradients in a model: a predictor between two blocks gives the lower block its error, and learns from the upper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_fa.labels import share
from lightning_fa.ops import predicted, route, scaled
from lightning_fa.ops.route import NOT_SCORED
from lightning_fa.rules.base import SyntheticRule
from lightning_fa.sharding import check_gathered
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.base import ABOVE
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.checkpoints import outside_checkpoints
from lightning_fa.wiring.deliveries.targets import check_classes
from lightning_fa.wiring.deliveries.trial import ROWS, try_rule
from lightning_fa.wiring.passes.course import Tap
from lightning_fa.wiring.passes.settling import Settler
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.block_feedback import BlockFeedback, Place, Sizes, key_of
from lightning_fa.wiring.stores.rows import Layout, as_labels
from lightning_fa.wiring.tensors import without_autocast

STEPS = "steps"
"""Letter of the buffer that counts forward passes in training mode, for the warm-up of a predictor."""


class Asked(NamedTuple):
    """A prediction whose target is not known yet: the gradient at ``entrance``, the input of the blocks above the predictor."""

    entrance: Tensor
    s: Tensor
    d: Tensor


class Synthetic:
    """Puts a predictor after every block that ``rule.at`` names. The other blocks pass the true gradient on."""

    passed = None
    opens = False

    def __init__(self, rule: SyntheticRule, feedback: BlockFeedback, step: Step, settler: Settler) -> None:
        self.rule, self.feedback, self.step, self.settler = rule, feedback, step, settler
        self._at = [name for name in feedback.places if feedback.cuts(name)]
        self._settling = False
        """Whether the gradients of all blocks below are computed already. Only the predictor in ``_asked`` still waits."""
        self._asked: Asked | None = None

    @staticmethod
    def places(rule: SyntheticRule, blocks: Sequence[Block]) -> dict[str, Place]:
        patterns = [rule.at] if isinstance(rule.at, str) else list(rule.at)
        names = [block.name for block in blocks[:-1]]
        idle = [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]
        if idle and names:
            raise ValueError(
                f"The pattern {idle[0]!r} in `at` matches no block below the head. They are: {', '.join(names)}."
            )
        at = {name for name in names if any(fnmatchcase(name, p) for p in patterns)}
        errors = {name: "SG(h, y)" if name in at else ABOVE for name in names}
        return {
            b.name: Place(b.module, errors[b.name], b.name in at, "several", reaches_below=True) for b in blocks[:-1]
        }

    @staticmethod
    def initial(rule: SyntheticRule, name: str, sizes: Sizes) -> Tensor | Mapping[str, Tensor]:
        width, outputs = sizes
        theta = dict(rule.initial(name, width, outputs))
        h, y = torch.zeros(ROWS, width), torch.zeros(ROWS, outputs) if rule.labels else None
        try_rule(rule, "predict", name, lambda: rule.predict(h, y, theta), h.shape)
        if rule.warm_up:
            theta[STEPS] = torch.zeros((), dtype=torch.int64)
        return theta

    def cross(self, name: str, h: Tensor) -> Tensor:
        if not self.feedback.cuts(name):
            return h
        if name == self._at[0]:
            self._asked = None  # left by a pass that an error ended
        again = any(name == earlier for earlier, *_ in self.settler.course.taps[:-1])
        theta = self.feedback.theta(name)
        if self.step.rehearsing or not theta:
            return h.detach()
        check_gathered({name: h} | {key_of(name, letter): held for letter, held in theta.items()})
        steps = theta.pop(STEPS, None)
        if h.requires_grad:
            self._check_learns(name, theta)
        applied = None
        if steps is not None:
            slot = self.feedback.store.slots[key_of(name, STEPS)]
            counts = slot.module.training
            applied = (steps - 1 if again and counts else steps) >= self.rule.warm_up
            if counts and not again:
                # A new tensor, because compiled code may read the old tensor again in backward.
                setattr(slot.module, slot.key, steps + 1)
        goes_on = self.settler.ready(name, h) is not None
        with outside_checkpoints():
            with self.step.held.loss(name, h, theta.values()):
                s, n = self._predict(name, h, theta, applied)
            settles = self._settling
            if name == self._at[0]:  # all blocks or none: a predictor learns from a gradient that settling yields
                settles = goes_on and not self.rule.alpha and steps is None and self.settler.pays_anywhere(name, h)
            if settles:
                return self._answer(name, h, s, n, goes_on)
            if not h.requires_grad and not s.requires_grad:
                return h.detach()
            out, unit = predicted(h, s, n, applied, self.rule.share)
        self.step.terms.append(unit)
        self.settler.isolation.bar(out)
        return out

    def _check_learns(self, name: str, theta: Mapping[str, Tensor]) -> None:
        if torch.compiler.is_compiling() or any(t.requires_grad for t in theta.values()):
            return
        if not any(t.any() for t in theta.values()):
            raise RuntimeError(
                f"The predictor of block {name!r} is zero and frozen, so that {name!r} and the blocks below would never learn. "
                "Expected a predictor that learns: freeze blocks before the rule comes into the model, or set `requires_grad` of "
                f"the predictor's parameters, {', '.join(f'{name}.{FEEDBACK}_{letter}' for letter in theta)}."
            )

    def _answer(self, name: str, h: Tensor, s: Tensor, n: Tensor, goes_on: bool) -> Tensor:
        # s gives the error at h, and the error at h gives the gradient at the entrance of the blocks up to h. This gradient is
        # the target of the predictor below that entrance. Only the predictor below the head must wait for the true loss.
        settler = self.settler
        scale = settler.factor.like(s)
        with torch.no_grad():
            d = scale * s / n
            error = (self.rule.share * d).to(h.dtype)
        asked, self._asked = self._asked, None
        true = settler.settle(h, error, scale, asked and asked.entrance) if h.requires_grad else None
        if asked is not None:
            if true is None:
                raise RuntimeError(NOT_SCORED)
            settler.settle(asked.s, 2 * (asked.d - true.to(asked.d.dtype)), settler.factor.like(asked.d))
        settler.let_go()
        h, self._settling = h.detach(), True
        if not s.requires_grad:
            return h
        if goes_on and name != self._at[-1]:
            self._asked = Asked(h.requires_grad_(), s, d)
            return h.clone()
        out, unit = predicted(h, s, n, None, self.rule.share)
        self.step.terms.append(unit)
        self._settling = False
        settler.isolation.bar(out)
        return out

    def again(self, name: str, h: Tensor) -> Tensor:
        # The recomputation must save the same tensors as the first run, which depends on whether a gradient passes.
        learns = any(t.requires_grad for t in self.feedback.theta(name).values())
        trained = self.feedback.cuts(name) and (h.requires_grad or learns)
        return h.detach().requires_grad_() if trained else h

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        routed, unit = route(output, None, [], [], joined=True)
        self.step.terms.append(unit)
        return routed

    def predict(self, name: str, h: Tensor, targets: Tensor) -> Tensor | None:
        """The predicted gradient of each sample's loss at h; ``None`` if block ``name`` has no predictor."""
        theta = self.feedback.theta(name)
        theta.pop(STEPS, None)
        if not theta:
            return None
        before, self.step.targets = self.step.targets, targets
        try:
            return self._predict(name, h, theta, None)[0]
        finally:
            self.step.targets = before

    def _predict(self, name: str, h: Tensor, theta: dict[str, Tensor], applied: Tensor | None) -> tuple[Tensor, Tensor]:
        """The prediction, zero in rows whose target is ignored, and the number of samples that count."""
        outputs = self.rule.outputs(theta)
        layout = self.feedback.layout(name) or Layout(h.shape[-1], outputs, h.ndim > 2)
        seen = scaled(h, self.rule.alpha, applied) if self.rule.alpha and h.requires_grad else h.detach()
        with without_autocast(h):
            rows, y = layout.positions(seen.to(next(iter(theta.values())).dtype)), None
            n, ignored = rows.new_full((), len(h)), None
            if self.rule.needs_targets:
                targets = self.step.targets
                samples = len(layout.samples(h))
                labels, counts = as_labels(targets, samples, len(rows) // samples, outputs)
                if self.step.looks() and targets is not None and not targets.is_floating_point():
                    check_classes(targets, max(outputs, 2))  # one output stands for two classes
                y, n, ignored = labels.to(rows.dtype), n * share(counts, n.dtype), ~counts[:, None]
            s = self.rule.predict(rows, y, theta)
            return layout.unite(s if ignored is None else s.masked_fill(ignored, 0.0), h.shape), n
