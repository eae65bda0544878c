"""Training the head alone: the blocks below receive no error, and are frozen while the rule is attached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lightning_fa.rules.base import DirectRule
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.course import Tap
from lightning_fa.wiring.cut import CutWiring
from lightning_fa.wiring.rows import Layout


class FrozenWiring(CutWiring):
    """Freezes all of ``root`` but the head: what has no ``.grad`` no optimizer moves or decays, and no reducer awaits."""

    rule: DirectRule

    def __init__(self, rule: DirectRule, blocks: Sequence[Block], root: nn.Module) -> None:
        super().__init__(rule, blocks)
        head = {id(p) for p in blocks[-1].module.parameters()}
        self._frozen = [p for p in root.parameters() if p.requires_grad and id(p) not in head]
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def remove(self) -> None:
        super().remove()
        for parameter in self.__dict__.pop("_frozen", []):
            parameter.requires_grad_(True)

    def feeds(self, name: str) -> bool:
        return False

    def error_at(self, name: str) -> str:
        return "none, frozen"

    def initial(self, name: str, shape: torch.Size, layout: Layout) -> Mapping[str, Tensor]:
        return {}

    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        return output
