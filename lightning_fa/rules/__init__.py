"""The rules, one file each, and the registry of their short names."""

from __future__ import annotations

from dataclasses import is_dataclass

from lightning_fa.rules.backpropagation import Backpropagation
from lightning_fa.rules.base import (
    AuxiliaryRule,
    DirectRule,
    FrozenRule,
    IndirectRule,
    LocalRule,
    Rule,
    SyntheticRule,
    TransportRule,
)
from lightning_fa.rules.batch_random_sign_symmetry import BatchRandomSignSymmetry
from lightning_fa.rules.bidirectional_feedback_alignment import BidirectionalFeedbackAlignment
from lightning_fa.rules.direct_feedback_alignment import DirectFeedbackAlignment
from lightning_fa.rules.direct_kolen_pollack import DirectKolenPollack
from lightning_fa.rules.direct_random_target_projection import DirectRandomTargetProjection
from lightning_fa.rules.feedback_alignment import FeedbackAlignment
from lightning_fa.rules.fixed_random_sign_symmetry import FixedRandomSignSymmetry
from lightning_fa.rules.indirect_feedback_alignment import IndirectFeedbackAlignment
from lightning_fa.rules.kickback import Kickback
from lightning_fa.rules.kolen_pollack import KolenPollack
from lightning_fa.rules.last_layer_only import LastLayerOnly
from lightning_fa.rules.linear_aligned_feedback import LinearAlignedFeedback
from lightning_fa.rules.local_losses import LocalLosses
from lightning_fa.rules.low_rank_direct_feedback_alignment import LowRankDirectFeedbackAlignment
from lightning_fa.rules.pseudobackpropagation import Pseudobackpropagation
from lightning_fa.rules.sign_direct_feedback_alignment import SignDirectFeedbackAlignment
from lightning_fa.rules.sparse_direct_feedback_alignment import SparseDirectFeedbackAlignment
from lightning_fa.rules.sparse_feedback_alignment import SparseFeedbackAlignment
from lightning_fa.rules.synthetic_gradient import SyntheticGradient
from lightning_fa.rules.synthetic_gradient_propagation import SyntheticGradientPropagation
from lightning_fa.rules.uniform_sign_symmetry import UniformSignSymmetry
from lightning_fa.rules.weight_mirror import WeightMirror

RULES: dict[str, type[Rule]] = {
    "bp": Backpropagation,
    "fa": FeedbackAlignment,
    "usf": UniformSignSymmetry,
    "brsf": BatchRandomSignSymmetry,
    "frsf": FixedRandomSignSymmetry,
    "kp": KolenPollack,
    "wm": WeightMirror,
    "pbp": Pseudobackpropagation,
    "fa_sparse": SparseFeedbackAlignment,
    "dfa": DirectFeedbackAlignment,
    "lafs": LinearAlignedFeedback,
    "dfa_sign": SignDirectFeedbackAlignment,
    "dfa_sparse": SparseDirectFeedbackAlignment,
    "dfa_lowrank": LowRankDirectFeedbackAlignment,
    "dkp": DirectKolenPollack,
    "ifa": IndirectFeedbackAlignment,
    "kickback": Kickback,
    "shallow": LastLayerOnly,
    "drtp": DirectRandomTargetProjection,
    "local": LocalLosses,
    "sg": SyntheticGradient,
    "sgprop": SyntheticGradientPropagation,
}

PAIR_RULES: dict[str, type[Rule]] = {"bidirectional": BidirectionalFeedbackAlignment}
"""Rules of a model that holds two networks."""


def resolve(rule: str | Rule) -> Rule:
    """The rule itself, or the one registered under that name with its defaults.

    Raises:
        ValueError: no rule has that name.
        TypeError: neither a name nor a rule, or a rule that is no dataclass.
    """
    if isinstance(rule, Rule):
        if not is_dataclass(rule):
            raise TypeError(
                f"Expected the rule {type(rule).__name__} to be a dataclass, whose fields a checkpoint can name: put "
                "`@dataclass(frozen=True, kw_only=True)` above the class."
            )
        return rule
    if not isinstance(rule, str):
        raise TypeError(f"Expected argument `rule` to be a rule or its name, but got {rule!r}.")
    known = RULES | PAIR_RULES
    if rule not in known:
        raise ValueError(f"Expected argument `rule` to be one of {sorted(known)} or a rule object, but got {rule!r}.")
    return known[rule]()


__all__ = [
    "PAIR_RULES",
    "RULES",
    "AuxiliaryRule",
    "Backpropagation",
    "BatchRandomSignSymmetry",
    "BidirectionalFeedbackAlignment",
    "DirectFeedbackAlignment",
    "DirectKolenPollack",
    "DirectRandomTargetProjection",
    "DirectRule",
    "FeedbackAlignment",
    "FixedRandomSignSymmetry",
    "FrozenRule",
    "IndirectFeedbackAlignment",
    "IndirectRule",
    "Kickback",
    "KolenPollack",
    "LastLayerOnly",
    "LinearAlignedFeedback",
    "LocalLosses",
    "LocalRule",
    "LowRankDirectFeedbackAlignment",
    "Pseudobackpropagation",
    "Rule",
    "SignDirectFeedbackAlignment",
    "SparseDirectFeedbackAlignment",
    "SparseFeedbackAlignment",
    "SyntheticGradient",
    "SyntheticGradientPropagation",
    "SyntheticRule",
    "TransportRule",
    "UniformSignSymmetry",
    "WeightMirror",
    "resolve",
]
