"""Indirect feedback in a model: B reaches the first block only, and the network's own weights carry the error upwards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from lightning_fa.ops import onward
from lightning_fa.rules.base import IndirectRule
from lightning_fa.sharding import check_gathered
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.cut import CutWiring
from lightning_fa.wiring.rows import Layout

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class IndirectWiring(CutWiring):
    """Delivers B e to the first block, and what the layers above make of it to the others."""

    rule: IndirectRule
    error = "W delta of the block below"

    def __init__(self, rule: IndirectRule, blocks: Sequence[Block]) -> None:
        others = [f"{b.name} ({type(b.module).__name__})" for b in blocks[:-1] if not isinstance(b.module, LAYERS)]
        if others:
            raise ValueError(
                f"{type(rule).__name__} sends the error forward through a block's own W, so that each block below the head "
                f"must be one Linear or convolution, and these are not: {', '.join(others)}. Name other blocks, or use "
                "another rule."
            )
        self._edges: list[Any] = []
        super().__init__(rule, blocks)

    def holds_one(self, name: str) -> bool:
        return name == self.below[0]

    def error_at(self, name: str) -> str:
        return "deliver(e)" if name == self.below[0] else self.error

    def initial(self, name: str, shape: torch.Size, layout: Layout) -> Tensor | dict[str, Tensor]:
        return self.rule.initial(name, layout.width, layout.outputs) if name == self.below[0] else {}

    def passed(self, index: int, out: Any) -> None:
        if self.rehearsing:
            return  # a graph that is kept would forbid to copy the model
        if index == 0:
            self._edges = []
        # Before an activation in place can put itself there.
        self._edges.append((get_gradient_edge(out) if out.requires_grad else None, out.numel()))

    def finish(self, output: Tensor, taps: list[Tensor], layouts: list[Layout]) -> Tensor:
        edges, self._edges = self._edges, []
        if not taps:
            return output
        idle = [name for name, tap, edge in zip(self.below, taps, edges) if edge[0] is None or not tap.requires_grad]
        if idle:
            raise RuntimeError(
                f"Indirect feedback passes every block, but {', '.join(idle)} has no gradient: is it frozen?"
            )
        modules = [self.modules[name] for name in self.below]
        check_gathered({f"{n}.weight": module.weight for n, module in zip(self.below[1:], modules[1:])})  # type: ignore[misc]
        resized = [name for name, tap, edge in zip(self.below, taps, edges) if edge[1] != tap.numel()]
        if resized:
            raise ValueError(
                f"Indirect feedback hands the error at a layer's own output to the next layer, but between {resized[0]!r} and "
                "the block after it the size changes, as in pooling. Use strides instead, or another rule."
            )
        return onward(
            output,
            partial(_first, self.rule, layouts[0], taps[0].shape, taps[0].dtype),
            taps,
            [edge for edge, _ in edges],
            [partial(_carry, module) for module in modules[1:]],
            self.theta(self.below[0])[""],
            [module.weight.detach() for module in modules[1:]],  # type: ignore[operator, union-attr]
        )


def _first(rule: IndirectRule, layout: Layout, shape: torch.Size, dtype: torch.dtype, e: Tensor, B: Tensor) -> Tensor:
    return layout.spread(rule.deliver(layout.rows(e).to(B.dtype), B).to(dtype), shape)


def _carry(module: nn.Module, delta: Tensor, weight: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return F.linear(delta, weight)
    return module._conv_forward(delta, weight, None)  # type: ignore[operator,no-any-return]
