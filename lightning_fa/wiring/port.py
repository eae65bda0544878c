"""What a governed layer asks in its forward: a weight as it counts, and the matrix that carries its error."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_fa.ops import lesson
from lightning_fa.rules.base import TransportRule
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.checkpoints import recomputing
from lightning_fa.wiring.layers.pairs import Pair, feedback_of, value_of
from lightning_fa.wiring.step import Step
from lightning_fa.wiring.store import Store

_STEP = torch.tensor([0, 0, 1])


@dataclass
class Port:
    """(layer, name of a weight, its input) -> (W, what carries the error), anew in every forward pass."""

    rule: TransportRule
    step: Step
    store: Store
    """Not read here: it must live as long as the layers do, for an optimizer's first step to find (``optimizers.py``)."""
    partner: nn.Module | None = None
    """The layer of another network whose weight is the feedback here."""
    transposed: bool = False

    def __call__(self, layer: nn.Module, name: str = "weight", x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rule = self.rule
        weight: Tensor = getattr(layer, name)
        if isinstance(weight, Pair):  # the module above presents it, and calls this layer as well
            return value_of(weight), feedback_of(weight)
        feedback: Tensor | None = getattr(layer, slot(name), None)
        state = self._next(layer, name)
        mask: Tensor | None = getattr(layer, slot(name, "mask"), None)
        if mask is not None:
            weight = weight * mask
        if x is not None and not x.requires_grad and not rule.learned:
            return weight, weight.detach()  # nothing travels below this layer
        if self.partner is not None:
            feedback = self.partner.weight.detach()  # type: ignore[operator]
            feedback = feedback.t() if self.transposed else feedback
        elif state is not None and rule.taught:
            assert feedback is not None
            feedback, unit = lesson(feedback, weight.detach(), state, rule.lesson)
            if not (recomputing() or self.step.rehearsing):
                self.step.terms.append(unit)
        elif state is not None:
            feedback = rule.redraw(weight.detach(), state)
        if not rule.matrixwise:
            return weight, rule.carrier(weight, feedback)
        groups = getattr(layer, "groups", 1)
        matrix = weight.reshape(groups, weight.shape[0] // groups, -1) if groups > 1 else weight.flatten(1)
        return weight, rule.carrier(matrix, feedback).reshape(weight.shape)

    def _next(self, layer: nn.Module, name: str) -> Tensor | None:
        state: Tensor | None = getattr(layer, slot(name, "stream"), None)
        if state is None:
            return None
        if recomputing():
            return state - _STEP.to(state.device)  # the step that is being recomputed has advanced the stream already
        if not self.step.rehearsing:
            # Replace the counter, never update it in place: compiled code may compute forward values again in backward,
            # and would then see the counter of the next step.
            setattr(layer, slot(name, "stream"), state + _STEP.to(state.device))
        return state


def slot(weight: str, kind: str = "") -> str:
    """Under which name a layer holds what the rule needs for one of its weights."""
    return FEEDBACK + (f"_{weight}" if weight != "weight" else "") + (f"_{kind}" if kind else "")
