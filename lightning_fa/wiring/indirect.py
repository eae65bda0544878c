"""Indirect feedback in a model: B reaches the first block only, and the network's own weights carry the error upwards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from lightning_fa.ops import onward, route
from lightning_fa.rules.base import DirectRule
from lightning_fa.sharding import check_gathered
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.course import Tap
from lightning_fa.wiring.cut import CutWiring
from lightning_fa.wiring.direct import Delivery
from lightning_fa.wiring.rows import Layout
from lightning_fa.wiring.trial import ROWS, try_rule

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class IndirectWiring(CutWiring):
    """Delivers B e to the first block, and what the layers above make of it to the others."""

    rule: DirectRule
    error = "W delta of the block below"

    def __init__(self, rule: DirectRule, blocks: Sequence[Block]) -> None:
        others = [f"{b.name} ({type(b.module).__name__})" for b in blocks[:-1] if not isinstance(b.module, LAYERS)]
        if others:
            raise ValueError(
                f"{type(rule).__name__} sends the error forward through a block's own W, so that each block below the head "
                f"must be one Linear or convolution, and these are not: {', '.join(others)}. Name other blocks, or use "
                "another rule."
            )
        apart = [block.name for block in blocks if block.often or block.exit is not None]
        if apart:
            raise ValueError(
                f"{type(rule).__name__} sends the error forward from one block to the next, which needs a chain, and `forward` "
                f"calls {', '.join(apart)} several times, or hands what they return to another block than the next. Use another "
                "rule, as 'dfa'."
            )
        self._places: list[Any] = []
        super().__init__(rule, blocks)

    def holds_one(self, name: str) -> bool:
        return name == self.below[0]

    def error_at(self, name: str) -> str:
        return "deliver(e)" if name == self.below[0] else self.error

    def initial(self, name: str, shape: torch.Size, layout: Layout) -> Tensor | dict[str, Tensor]:
        if name != self.below[0]:
            return {}
        feedback = self.rule.initial(name, layout.width, layout.outputs)
        assert feedback is not None
        held, e = feedback.to("cpu", torch.float32), torch.zeros(ROWS, layout.outputs)
        try_rule(self.rule, "deliver", name, lambda: self.rule.deliver(e, held), (ROWS, layout.width))
        return feedback

    def passed(self, index: int, out: Any) -> Any:
        if self.rehearsing:
            return out  # a graph that is kept would forbid to copy the model
        if index == 0:
            self._places = []
        # Before an activation in place can put itself there. Dynamo knows no edges; a copy is free in compiled code.
        compiling = torch.compiler.is_compiling()
        place = None if not out.requires_grad else out if compiling else get_gradient_edge(out)
        self._places.append((place, out.numel()))
        return out.clone() if compiling else out

    def finish(self, output: Tensor, named: list[Tap], layouts: list[Layout]) -> Tensor:
        taps = [tap for _, tap in named]
        places, self._places = self._places, []
        if not taps:
            return output
        idle = [
            name for name, tap, (place, _) in zip(self.below, taps, places) if place is None or not tap.requires_grad
        ]
        if idle:
            raise RuntimeError(
                f"Indirect feedback passes every block, but {', '.join(idle)} has no gradient: is it frozen?"
            )
        modules = [self.modules[name] for name in self.below]
        check_gathered({f"{n}.weight": module.weight for n, module in zip(self.below[1:], modules[1:])})  # type: ignore[misc]
        resized = [name for name, tap, (_, size) in zip(self.below, taps, places) if size != tap.numel()]
        if resized:
            raise ValueError(
                f"Indirect feedback hands the error at a layer's own output to the next layer, but between {resized[0]!r} and "
                "the block after it the size changes, as in pooling. Use strides instead, or another rule."
            )
        h = taps[-1]
        for tap, (place, _), module in zip(taps[-2::-1], places[-2::-1], modules[:0:-1]):
            h = onward(tap, place, h, module.weight.detach(), partial(_carry, module))  # type: ignore[operator]
        delivery = Delivery(self.rule, layouts[:1], [h.shape], [h.dtype])
        routed, _ = route(output, delivery, [h], [self.theta(self.below[0])[""]], joined=False)
        return routed


def _carry(module: nn.Module, delta: Tensor, weight: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return F.linear(delta, weight)
    return module._conv_forward(delta, weight, None)  # type: ignore[operator,no-any-return]
