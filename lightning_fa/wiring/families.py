"""The wiring of each family of rules. No other module asks for a rule's family."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from lightning_fa.rules import RULES
from lightning_fa.rules.base import DirectRule, LocalRule, Rule, SyntheticRule, TransportRule
from lightning_fa.wiring.base import Wiring
from lightning_fa.wiring.blocks.choice import Block, matches
from lightning_fa.wiring.cut import Cut
from lightning_fa.wiring.cut_wiring import CutWiring, below_the_head
from lightning_fa.wiring.deliveries.direct import Direct, Nothing
from lightning_fa.wiring.deliveries.local import Local
from lightning_fa.wiring.deliveries.shared import Shared
from lightning_fa.wiring.deliveries.synthetic import Synthetic
from lightning_fa.wiring.deliveries.upward import Upward
from lightning_fa.wiring.passes.beyond import Beyond
from lightning_fa.wiring.passes.course import Course
from lightning_fa.wiring.passes.isolation import Isolation
from lightning_fa.wiring.passes.settling import Settler
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.stores.block_feedback import BlockFeedback
from lightning_fa.wiring.stores.store import Store
from lightning_fa.wiring.transport.wiring import TransportWiring
from lightning_fa.wrappers import named_parameters

CUTTING: dict[tuple[type[Rule], str], Any] = {
    (DirectRule, "the output"): Direct,
    (DirectRule, "the block below"): Upward,
    (DirectRule, "nothing"): Nothing,
    (LocalRule, "nothing"): Local,
    (LocalRule, "the head"): Shared,
    (SyntheticRule, "the block above"): Synthetic,
}
"""(family of a rule that cuts the graph, the rule's ``hears``) -> the class that delivers the errors."""


def wire(root: nn.Module, rule: Rule, blocks: Sequence[Block], ungoverned: Sequence[str]) -> Wiring:
    """Put ``rule`` into ``root``. After an error ``root`` is plain again.

    Raises:
        TypeError: the rule is of no family.
        ValueError: the rule does not fit the model.
    """
    _check_defined(root, rule, ungoverned)
    wiring = _made(root, rule, blocks, ungoverned)
    try:
        wiring.lay()
    except Exception:
        wiring.remove()
        raise
    return wiring


def _check_defined(root: nn.Module, rule: Rule, ungoverned: Sequence[str]) -> None:
    names = [name for name, p in named_parameters(root) if p.is_complex() and not matches(name, ungoverned)]
    if names and not rule.complex_valued:
        defined = ", ".join(repr(name) for name, each in RULES.items() if each.complex_valued)
        raise ValueError(
            f"{type(rule).__name__} is not defined for complex weights, such as {names[0]}. Use one of {defined}, or hold real "
            "and imaginary parts as two real features."
        )


def _made(root: nn.Module, rule: Rule, blocks: Sequence[Block], ungoverned: Sequence[str]) -> Wiring:
    if isinstance(rule, TransportRule):
        return TransportWiring(rule, blocks, ungoverned, root)
    kinds = [kind for (family, hears), kind in CUTTING.items() if isinstance(rule, family) and rule.hears == hears]
    if not kinds:
        raise TypeError(
            f"Expected `rule` to be of a family in `lightning_fa.rules.base`, but got {type(rule).__name__}."
        )
    kind = kinds[0]
    blocks = [block._replace(open=block.open and kind.opens) for block in blocks]
    step, course = Step(), Course(blocks)
    feedback = BlockFeedback(Store(rule.forgetting), rule, kind.places(rule, blocks), partial(kind.initial, rule))
    isolation = Isolation(blocks, feedback)
    settler = Settler(root, step, course, isolation, feedback)
    frozen = below_the_head(root, blocks) if kind is Nothing else []
    cut = Cut(list(blocks), feedback, step, course, isolation, kind(rule, feedback, step, settler))
    return CutWiring(cut, Beyond(root, ungoverned, blocks[-1].name), frozen)
