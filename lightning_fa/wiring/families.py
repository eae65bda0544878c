"""Which wiring serves which family of rules. No other place asks for a rule's family."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lightning_fa.rules.base import DirectRule, LocalRule, Rule, SyntheticRule, TransportRule
from lightning_fa.wiring.base import Wiring
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.direct import DirectWiring
from lightning_fa.wiring.frozen import FrozenWiring
from lightning_fa.wiring.indirect import IndirectWiring
from lightning_fa.wiring.local import LocalWiring
from lightning_fa.wiring.synthetic import SyntheticWiring
from lightning_fa.wiring.transport import TransportWiring


def wire(root: nn.Module, rule: Rule, blocks: Sequence[Block], ungoverned: Sequence[str]) -> Wiring:
    """Lay ``rule`` into ``root``.

    Raises:
        TypeError: the rule is of no family.
    """
    if isinstance(rule, TransportRule):
        return TransportWiring(rule, blocks, ungoverned, root)
    if isinstance(rule, LocalRule):
        return LocalWiring(rule, blocks, root)
    if isinstance(rule, SyntheticRule):
        return SyntheticWiring(rule, blocks, root)
    if isinstance(rule, DirectRule):
        if rule.hears == "the output":
            return DirectWiring(rule, blocks)
        return IndirectWiring(rule, blocks) if rule.hears == "the block below" else FrozenWiring(rule, blocks, root)
    raise TypeError(f"Expected `rule` to be of a family in `lightning_fa.rules.base`, but got {type(rule).__name__}.")
