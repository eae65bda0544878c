"""Gives a governed layer, in its forward, its weight with any mask applied, and the backward weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_fa.ops import lesson
from lightning_fa.rules.base import TransportRule
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.checkpoints import recomputing
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.store import Store
from lightning_fa.wiring.transport.layers.pairs import Pair, feedback_of, value_of

_STEP = torch.tensor([0, 0, 1])


@dataclass
class Port:
    """(layer, name of a weight, the layer's input) -> (W, backward weight), computed in every forward pass."""

    rule: TransportRule
    step: Step
    store: Store
    """Not read here. It must live as long as the layers, because an optimizer's first step looks for it (``optimizers.py``)."""
    partner: nn.Module | None = None
    """The layer of another network whose weight is the feedback here."""
    transposed: bool = False

    def __call__(self, layer: nn.Module, name: str = "weight", x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rule = self.rule
        weight: Tensor = getattr(layer, name)
        if isinstance(weight, Pair):  # a module around this layer uses the weight itself, and calls the layer as well
            return value_of(weight), feedback_of(weight)
        feedback: Tensor | None = getattr(layer, slot(name), None)
        state = self._next(layer, name)
        mask: Tensor | None = getattr(layer, slot(name, "mask"), None)
        if mask is not None:
            weight = weight * mask
        if x is not None and not x.requires_grad and not rule.learned:
            return weight, weight.detach()  # no error is sent below this layer
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
        if hasattr(state, "full_tensor"):
            raise RuntimeError(
                f"{type(self.rule).__name__} draws in every step numbers for a whole weight, but tensor parallelism "
                "(`parallelize_module`) has divided the weight. Use fa, usf, frsf, kp, pbp or fa_sparse."
            )
        if recomputing():
            return state - _STEP.to(state.device)  # the first run of this step has advanced the stream already
        if not self.step.rehearsing:
            # The counter is replaced and never updated in place: compiled code may compute forward values again in
            # backward, and would then read the counter of the next step.
            setattr(layer, slot(name, "stream"), state + _STEP.to(state.device))
        return state


def slot(weight: str, kind: str = "") -> str:
    """The name under which a layer holds a rule's tensor of this kind for one of its weights."""
    return FEEDBACK + (f"_{weight}" if weight != "weight" else "") + (f"_{kind}" if kind else "")
