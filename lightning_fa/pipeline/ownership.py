"""Which stage a parameter or a buffer belongs to: one, or the network cannot be divided there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from lightning_fa.pipeline.rehearsal import Rehearsal
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.blocks import Block


class Ownership:
    """Names and stages of everything that a network holds.

    What lies in a block belongs to the block's stage, and so does what the block's error governs outside of it, as
    normalisation between two blocks. All else, as a scale behind the head, belongs to the last stage, where the true loss is.

    Args:
        root: The network.
        blocks: Its blocks.
        stages: Their stages.
        governed: Block -> parameters that its error governs.
        seen: A pass of the whole network.

    Raises:
        ValueError: a parameter or a buffer is used by blocks of two stages.
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
        """Ids of the parameters that lie in a block, so that other stages need not hold them."""
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
        """The stage of a parameter or buffer; of what was registered later the last."""
        return self.stages.get(id(tensor), max(self.stages.values(), default=0))

    def _give(self, tensor: Tensor, stage: int) -> None:
        if self.stages.setdefault(id(tensor), stage) != stage:
            name = self.names.get(id(tensor), "a tensor")
            if FEEDBACK in name:
                return
            raise ValueError(
                f"{name} is used by blocks of stages {self.stages[id(tensor)]} and {stage}, and a stage has its parameters and "
                "buffers for itself. Name stages with `stages=` so that one has all blocks that use it, or untie them."
            )
