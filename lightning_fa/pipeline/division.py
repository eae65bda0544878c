"""A network divided into stages, one of which this process runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from lightning_fa.pipeline.channel import Channel
from lightning_fa.pipeline.errors import Errors
from lightning_fa.pipeline.ownership import Ownership
from lightning_fa.pipeline.parts import Between, BlockElsewhere, Here, Part, Place
from lightning_fa.pipeline.refusals import check_chain
from lightning_fa.pipeline.rehearsal import departs, observe
from lightning_fa.pipeline.stages import Stages, divide
from lightning_fa.pipeline.strays import Strays
from lightning_fa.pipeline.streams import BlockStream, common_state, name_of, set_common_state
from lightning_fa.pipeline.weights import Weights, share
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.cut import Cut


class Division:
    """Made before training, while every rank still has the whole network. Rank 0 runs the last stage and has the loss.

    Args:
        root: The network.
        blocks: In the order of their calls.
        wiring: The rule in the network; ``None`` where nothing is trained.
        named: See :func:`~lightning_fa.pipeline.stages.divide`.
        run: Runs a forward pass of the network on an example, and leaves the network as it was.
        device: The device of this process.
        control: A gloo group of all ranks, or None for the group of the process.

    Raises:
        ValueError: The network cannot be divided into these stages.
    """

    def __init__(
        self,
        root: nn.Module,
        blocks: Sequence[Block],
        wiring: Cut | None,
        named: Stages,
        run: Callable[[], Any],
        device: torch.device,
        control: dist.ProcessGroup | None,
    ) -> None:
        world, rank = dist.get_world_size(), dist.get_rank()
        self.root, self.blocks, self.wiring, self.run = root, list(blocks), wiring, run
        self.device, self.control, self.stage = device, control, world - 1 - rank
        check_chain(blocks)
        share(root, control)
        self.synchronise()
        self.seen = observe(root, blocks, run)
        costs = [max(flops, 1.0) for flops in self.seen.flops]
        self.stages = divide([block.name for block in blocks], costs, world, named)
        governed = {} if wiring is None else wiring.isolation.owned
        self.weights = Weights(root, Ownership(root, blocks, self.stages, governed, self.seen), self.stage, control)
        self.channel = Channel(rank + 1 if self.stage else None, rank - 1 if rank else None, control)
        self.errors = Errors() if wiring is not None and wiring.feedback.rule.hears == "the output" else None
        self._place = Place(self.stages, self.stage, Strays(self.weights))
        self._parts: list[Part] = []

    def install(self) -> None:
        """Free the weights in blocks of other stages, and let this process run the modules of its own stage only."""
        self.weights.drop(self.device)
        seed = name_of(common_state())
        streams = [BlockStream(seed, block.name, self.device) for block in self.blocks]
        names = {module: name for name, module in self.root.named_modules()}
        for module, behind in self.seen.between.items():
            self._parts.append(Between(module, names[module], self._place, behind, streams))
        for i, block in enumerate(self.blocks):
            first = i > 0 and self.stages[i - 1] != self.stages[i]
            last = i == len(self.blocks) - 1
            errors = self.errors if last else None
            if self.stages[i] == self.stage:
                channel = self.channel if first else None
                here = Here(block.module, block.name, self._place, i, streams[i], channel, self.seen.keys[i], errors)
                self._parts.append(here)
            else:
                channel = self.channel if first and self.stages[i - 1] == self.stage else None
                key = self.seen.keys[i]
                self._parts.append(
                    BlockElsewhere(block.module, block.name, self._place, i, self.wiring, key, channel, errors)
                )

    def prove(self) -> None:
        """Run the example through all stages, and compare the outputs of each stage with those of the whole network.

        Raises:
            ValueError: On all ranks, if a stage cannot run without the others, or reads more than one tensor from them.
        """
        self.channel.open = False
        self._agree(self._pass_by())
        self.channel.open = True
        self._agree(self._compare())
        self.channel.flush()
        self.channel.sent = 0
        self.seen.outputs, self.seen.result = [], []

    def _pass_by(self) -> str | None:
        try:
            observe(self.root, self.blocks, self.run)
        except Exception as error:
            return f"Stage {self.stage} cannot run without the others. {error}"
        return None

    def _compare(self) -> str | None:
        seen = observe(self.root, self.blocks, self.run)
        wrong = [
            block.name
            for i, block in enumerate(self.blocks)
            if self.stages[i] == self.stage and departs(seen.outputs[i], self.seen.outputs[i])
        ]
        if not wrong and (self.stage != max(self.stages) or not departs(seen.result, self.seen.result)):
            return None
        return (
            f"Stage {self.stage} does not compute the same as the whole network ({', '.join(wrong) or 'its output'} differs), "
            "because it reads more from other stages than the one tensor that enters its first block. Choose stages or blocks "
            "between which only one tensor passes, with `stages=` or `blocks=`."
        )

    def _agree(self, problem: str | None) -> None:
        found: list[str | None] = [None] * dist.get_world_size()
        dist.all_gather_object(found, problem, group=self.control)
        first = next((each for each in found if each is not None), None)
        if first is not None:
            raise ValueError(first)

    def synchronise(self) -> None:
        """Let all ranks draw the random numbers that rank 0 would draw next."""
        state = [common_state()]
        dist.broadcast_object_list(state, 0, group=self.control)
        set_common_state(state[0])

    def flush(self) -> None:
        """Wait until all sent tensors have arrived."""
        self.channel.flush()
        if self.errors is not None:
            self.errors.flush()

    def remove(self) -> None:
        """Give modules their own forward back, and let parameters of other stages require gradients again."""
        for part in reversed(self._parts):
            part.remove()
        self._parts = []
        self.weights.thaw()
