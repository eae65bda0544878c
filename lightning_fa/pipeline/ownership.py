"""The stage to which each parameter and buffer belongs. A network with a tensor of two stages cannot be divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from lightning_fa.pipeline.rehearsal import Rehearsal
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.blocks.choice import Block


class Ownership:
    """Names and stages of all parameters and buffers of a network.

    A tensor inside a block belongs to the block's stage. A parameter outside of blocks belongs to the stage of the block whose
    error governs it, as in normalisation between two blocks. A buffer of a module between blocks belongs to the stage of the
    block behind which the module is called. All other tensors, as a scale behind the head, belong to the last stage, which has
    the true loss.

    Args:
        root: The network.
        blocks: The blocks of the network.
        stages: The stage of each block.
        governed: Block -> parameters that its error governs.
        seen: The record of a pass of the whole network.

    Raises:
        ValueError: A parameter or a buffer is used by blocks of two stages.
    """

    def __init__(
        self,
        root: nn.Module,
        blocks: Sequence[Block],
        stages: Sequence[int],
        governed: Mapping[str, Sequence[Tensor]],
        seen: Rehearsal,
    ) -> None:
        last = max(stages)
        self.names: dict[int, str] = {}
        self.stages: dict[int, int] = {}
        self.inside: set[int] = set()
        """Ids of the parameters inside a block. Other stages need not hold them."""
        for name, tensor in (*root.named_parameters(), *root.named_buffers()):
            self.names[id(tensor)] = name
        for block, stage in zip(blocks, stages):
            self.inside |= {id(p) for p in block.module.parameters()}
            for tensor in (*block.module.parameters(), *block.module.buffers(), *governed.get(block.name, ())):
                self._give(tensor, stage)
        for module, positions in seen.between.items():
            for buffer in module.buffers():
                for stage in {stages[max(i, 0)] for i in positions}:
                    self._give(buffer, stage)
        for key in self.names:
            self.stages.setdefault(key, last)

    def of(self, tensor: Tensor) -> int:
        """The stage of a parameter or buffer. A tensor that was registered later belongs to the last stage."""
        return self.stages.get(id(tensor), max(self.stages.values(), default=0))

    def _give(self, tensor: Tensor, stage: int) -> None:
        if self.stages.setdefault(id(tensor), stage) != stage:
            name = self.names.get(id(tensor), "a tensor")
            if FEEDBACK in name:
                return
            raise ValueError(
                f"{name} is used by blocks of stages {self.stages[id(tensor)]} and {stage}, but a parameter or buffer can belong "
                f"to one stage only. Name stages with `stages=` so that one stage has all blocks that use {name}, or untie them."
            )
