"""Direct rules that hear the block below: the first block receives B e, and the network's own W carry the error upwards."""

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
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.deliveries.direct import Answers, Direct
from lightning_fa.wiring.passes.course import Tap
from lightning_fa.wiring.passes.settling import Settler
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.block_feedback import BlockFeedback, Place, Sizes
from lightning_fa.wiring.stores.rows import Layout

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Upward:
    """Delivers B e to the first block, and to the others the error that the layers carry up from the block below."""

    settler = cross = again = None
    opens = False

    def __init__(self, rule: DirectRule, feedback: BlockFeedback, step: Step, settler: Settler) -> None:
        self.rule, self.feedback, self.step = rule, feedback, step
        self._places: list[Any] = []

    @staticmethod
    def places(rule: DirectRule, blocks: Sequence[Block]) -> dict[str, Place]:
        _check(rule, blocks)
        found = {b.name: Place(b.module, "W delta of the block below", holds="nothing") for b in blocks[:-1]}
        first = blocks[0]
        return {**found, first.name: Place(first.module, "deliver(e)")} if found else {}

    @staticmethod
    def initial(rule: DirectRule, name: str, sizes: Sizes) -> Tensor:
        return Direct.initial(rule, name, sizes)

    def passed(self, index: int, out: Any) -> Any:
        if self.step.rehearsing:
            return out  # no edge is kept, because a model that holds a graph cannot be deep-copied
        if index == 0:
            self._places = []
        # Taken now, before an in-place activation changes the node of `out`. Dynamo does not support gradient edges; in
        # compiled code a clone costs nothing.
        compiling = torch.compiler.is_compiling()
        place = None if not out.requires_grad else out if compiling else get_gradient_edge(out)
        self._places.append((place, out.numel()))
        return out.clone() if compiling else out

    def finish(self, output: Tensor, named: list[Tap], layouts: list[Layout]) -> Tensor:
        taps, names = [tap.h for tap in named], list(self.feedback.places)
        places, self._places = self._places, []
        if not taps:
            return output
        idle = [name for name, tap, (place, _) in zip(names, taps, places) if place is None or not tap.requires_grad]
        if idle:
            raise RuntimeError(
                f"Indirect feedback passes through every block, but {', '.join(idle)} has no gradient. Is it frozen?"
            )
        if not torch.compiler.is_compiling() and any(isinstance(place, Tensor) for place, _ in places[:-1]):
            raise RuntimeError(
                f"{type(self.rule).__name__} differentiates at the outputs of blocks, which are hidden where a block is "
                "compiled by itself. Compile the whole model, or none of its blocks."
            )
        modules = [self.feedback.places[name].module for name in names]
        check_gathered({f"{n}.weight": module.weight for n, module in zip(names[1:], modules[1:])})  # type: ignore[misc]
        resized = [name for name, tap, (_, size) in zip(names, taps, places) if size != tap.numel()]
        if resized:
            raise ValueError(
                f"Indirect feedback hands the error at a layer's own output to the next layer, but between {resized[0]!r} and "
                "the block after it the size changes, as in pooling. Use strides instead, or another rule."
            )
        h = taps[-1]
        for tap, (place, _), module in zip(taps[-2::-1], places[-2::-1], modules[:0:-1]):
            h = onward(tap, place, h, module.weight.detach(), partial(_carry, module))  # type: ignore[operator]
        answers = Answers(self.rule, layouts[:1], [tuple(h.shape)], [h.dtype])
        routed, _ = route(output, answers, [h], [self.feedback.theta(names[0])[""]], joined=False)
        return routed


def _check(rule: DirectRule, blocks: Sequence[Block]) -> None:
    """Check that the network's own weights can carry the error upwards.

    Raises:
        ValueError: a block below the head is more than one layer, or the blocks are no chain.
    """
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
            f"calls {', '.join(apart)} several times, or hands their output to another block than the next. Use another "
            "rule, such as 'dfa'."
        )


def _carry(module: nn.Module, delta: Tensor, weight: Tensor) -> Tensor:
    if isinstance(module, nn.Linear):
        return F.linear(delta, weight)
    steps = delta.ndim - len(module.kernel_size) - 1  # type: ignore[arg-type]  # 2 with time steps in front
    return module._conv_forward(delta.flatten(0, max(steps - 1, 0)), weight, None)  # type: ignore[operator,no-any-return]
