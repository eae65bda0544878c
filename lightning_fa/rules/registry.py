"""The registry: each rule in it has a short name, all strategies, an export from ``lightning_fa``, and the contract tests."""

import inspect
import re
from dataclasses import is_dataclass

from lightning_fa.rules.backpropagation import Backpropagation as Backpropagation
from lightning_fa.rules.base import Rule
from lightning_fa.rules.batch_random_sign_symmetry import BatchRandomSignSymmetry as BatchRandomSignSymmetry
from lightning_fa.rules.bidirectional_feedback_alignment import (
    BidirectionalFeedbackAlignment as BidirectionalFeedbackAlignment,
)
from lightning_fa.rules.direct_feedback_alignment import DirectFeedbackAlignment as DirectFeedbackAlignment
from lightning_fa.rules.direct_kolen_pollack import DirectKolenPollack as DirectKolenPollack
from lightning_fa.rules.direct_random_target_projection import (
    DirectRandomTargetProjection as DirectRandomTargetProjection,
)
from lightning_fa.rules.error_broadcast_decorrelation import ErrorBroadcastDecorrelation as ErrorBroadcastDecorrelation
from lightning_fa.rules.feedback_alignment import FeedbackAlignment as FeedbackAlignment
from lightning_fa.rules.fixed_random_sign_symmetry import FixedRandomSignSymmetry as FixedRandomSignSymmetry
from lightning_fa.rules.indirect_feedback_alignment import IndirectFeedbackAlignment as IndirectFeedbackAlignment
from lightning_fa.rules.kickback import Kickback as Kickback
from lightning_fa.rules.kolen_pollack import KolenPollack as KolenPollack
from lightning_fa.rules.last_layer_only import LastLayerOnly as LastLayerOnly
from lightning_fa.rules.linear_aligned_feedback import LinearAlignedFeedback as LinearAlignedFeedback
from lightning_fa.rules.local_losses import LocalLosses as LocalLosses
from lightning_fa.rules.low_rank_direct_feedback_alignment import (
    LowRankDirectFeedbackAlignment as LowRankDirectFeedbackAlignment,
)
from lightning_fa.rules.pseudobackpropagation import Pseudobackpropagation as Pseudobackpropagation
from lightning_fa.rules.shared_output_local_learning import SharedOutputLocalLearning as SharedOutputLocalLearning
from lightning_fa.rules.sign_direct_feedback_alignment import SignDirectFeedbackAlignment as SignDirectFeedbackAlignment
from lightning_fa.rules.sparse_direct_feedback_alignment import (
    SparseDirectFeedbackAlignment as SparseDirectFeedbackAlignment,
)
from lightning_fa.rules.sparse_feedback_alignment import SparseFeedbackAlignment as SparseFeedbackAlignment
from lightning_fa.rules.synthetic_gradient import SyntheticGradient as SyntheticGradient
from lightning_fa.rules.synthetic_gradient_propagation import (
    SyntheticGradientPropagation as SyntheticGradientPropagation,
)
from lightning_fa.rules.uniform_sign_symmetry import UniformSignSymmetry as UniformSignSymmetry
from lightning_fa.rules.weight_mirror import WeightMirror as WeightMirror

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
    "solo": SharedOutputLocalLearning,
    "dfa_sign": SignDirectFeedbackAlignment,
    "dfa_sparse": SparseDirectFeedbackAlignment,
    "dfa_lowrank": LowRankDirectFeedbackAlignment,
    "dkp": DirectKolenPollack,
    "ebd": ErrorBroadcastDecorrelation,
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


def add(name: str, kind: type[Rule]) -> None:
    """Add a rule to the registry; see :func:`lightning_fa.register`, which also names the strategies."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"Expected a name of lower case letters, digits and underscores, but got {name!r}.")
    if not (isinstance(kind, type) and issubclass(kind, Rule)):
        raise TypeError(f"Expected a class of one of the families of rules (fa.DirectRule, ...), but got {kind!r}.")
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise TypeError(f"{kind.__name__} does not define {missing}, which its family leaves to the rule.")
    before = (RULES | PAIR_RULES).get(name)
    if before is not None and (before.__module__, before.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(f"The name {name!r} is taken by {before.__name__}. Choose another.")
    try:
        rule = kind()
    except TypeError as error:
        raise TypeError(f"Expected {kind.__name__} to have defaults for all of its settings, but: {error}") from error
    resolve(rule)
    RULES[name] = kind


def resolve(rule: str | Rule) -> Rule:
    """The rule itself, or the rule registered under that name, with its default settings.

    Raises:
        ValueError: no rule has that name.
        TypeError: ``rule`` is neither a name nor a rule, or is no dataclass.
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
