"""The rules, one file each, and the registry of their short names."""

from __future__ import annotations

from lightning_fa.rules.backpropagation import Backpropagation
from lightning_fa.rules.base import DirectRule, LocalRule, Rule, TransportRule
from lightning_fa.rules.direct_feedback_alignment import DirectFeedbackAlignment
from lightning_fa.rules.feedback_alignment import FeedbackAlignment
from lightning_fa.rules.linear_aligned_feedback import LinearAlignedFeedback

RULES: dict[str, type[Rule]] = {
    "bp": Backpropagation,
    "fa": FeedbackAlignment,
    "dfa": DirectFeedbackAlignment,
    "lafs": LinearAlignedFeedback,
}


def resolve(rule: str | Rule) -> Rule:
    """The rule itself, or the one registered under that name with its defaults.

    Raises:
        ValueError: no rule has that name.
        TypeError: neither a name nor a rule.
    """
    if isinstance(rule, Rule):
        return rule
    if not isinstance(rule, str):
        raise TypeError(f"Expected argument `rule` to be a rule or its name, but got {rule!r}.")
    if rule not in RULES:
        raise ValueError(f"Expected argument `rule` to be one of {sorted(RULES)} or a rule object, but got {rule!r}.")
    return RULES[rule]()


__all__ = [
    "RULES",
    "Backpropagation",
    "DirectFeedbackAlignment",
    "DirectRule",
    "FeedbackAlignment",
    "LinearAlignedFeedback",
    "LocalRule",
    "Rule",
    "TransportRule",
    "resolve",
]
