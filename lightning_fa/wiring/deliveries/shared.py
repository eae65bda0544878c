"""Local rules whose blocks read the head's weight. Each block holds a copy of the weight, which is renewed in every pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lightning_fa.rules.base import LocalRule
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.deliveries.local import Local
from lightning_fa.wiring.passes.course import Tap
from lightning_fa.wiring.passes.settling import Settler
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.block_feedback import BlockFeedback, Place, Sizes, key_of
from lightning_fa.wiring.stores.rows import Layout


class Shared:
    """Renews the tensors that a block holds, and then works as :class:`Local`."""

    passed = again = None
    opens = True

    def __init__(self, rule: LocalRule, feedback: BlockFeedback, step: Step, settler: Settler) -> None:
        self.rule, self.feedback, self.step, self.settler = rule, feedback, step, settler
        self._local = Local(rule, feedback, step, settler)
        self._head: nn.Linear = settler.course.blocks[-1].module  # type: ignore[assignment]  # `places` has checked it
        feedback.initial = self._initial

    @staticmethod
    def places(rule: LocalRule, blocks: Sequence[Block]) -> dict[str, Place]:
        name, head = blocks[-1].name, blocks[-1].module
        if not isinstance(head, nn.Linear):
            raise ValueError(
                f"{type(rule).__name__} reads the weight of the head, but {name!r} is a {type(head).__name__}: expected an "
                "nn.Linear. Name the layer that returns the network's output last in `blocks`, or use 'lafs', which has "
                "readouts of its own."
            )
        return {block.name: Place(block.module, "own loss", holds="several") for block in blocks[:-1]}

    initial = Local.initial
    """Replaced by :meth:`_initial` when the head is known."""

    def _initial(self, name: str, sizes: Sizes) -> Mapping[str, Tensor]:
        width, outputs = sizes
        if outputs != self._head.out_features:
            raise ValueError(
                f"{type(self.rule).__name__} reads the head's weight, which gives {self._head.out_features} outputs per row, but "
                f"for each row of block {name!r} the network has {outputs} outputs: expected the output of the head, with one "
                "row for every row of the block. Use 'lafs', whose readouts have any size."
            )
        found: Mapping[str, Tensor] = self.rule.initial(name, (width, self._head.in_features), outputs)
        return found

    def cross(self, name: str, h: Tensor) -> Tensor:
        if self.settler.due(name, h) is not None:
            self._renew(name)
        return self._local.cross(name, h)

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        # For blocks that were not settled in `cross`. Inside the head's forward FSDP has gathered the head's weight.
        for name in dict.fromkeys(tap.name for tap in taps if tap.h.requires_grad):
            self._renew(name)
        return self._local.finish(output, taps, layouts)

    def _renew(self, name: str) -> None:
        with torch.no_grad():
            fresh = self.rule.renew(self._head.weight, self.feedback.theta(name))
        for letter, tensor in fresh.items():
            slot = self.feedback.store.slots[key_of(name, letter)]
            # A new tensor, because the backward of an earlier pass may read the old tensor.
            setattr(slot.module, slot.key, tensor)
