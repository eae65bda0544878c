"""Short names of strategies, for the library's rules and for a user's own rules."""

from __future__ import annotations

from lightning.pytorch.strategies import StrategyRegistry

from lightning_fa.rules import Rule, add
from lightning_fa.strategies.ddp import DDPFeedbackStrategy
from lightning_fa.strategies.fsdp import FSDPFeedbackStrategy
from lightning_fa.strategies.model_parallel import ModelParallelFeedbackStrategy
from lightning_fa.strategies.pipeline import PipelineFeedbackStrategy
from lightning_fa.strategies.single_device import FeedbackStrategy

STRATEGIES = (
    FeedbackStrategy,
    DDPFeedbackStrategy,
    FSDPFeedbackStrategy,
    ModelParallelFeedbackStrategy,
    PipelineFeedbackStrategy,
)

for _strategy in STRATEGIES:
    _strategy.register_strategies(StrategyRegistry)


def register(name: str, kind: type[Rule]) -> None:
    """Give a rule of your own a short name, for ``attach``, the mixin and all strategies.

    .. code-block:: python

        @dataclass(frozen=True, kw_only=True)
        class Ones(fa.DirectRule):
            def initial(self, name, width, outputs):
                return torch.ones(width, outputs)

            def deliver(self, e, feedback):
                return e @ feedback.T

        fa.register("ones", Ones)
        Trainer(strategy="ones")  # "ones_ddp", "ones_ddp_spawn", "ones_fsdp", "ones_fsdp2", ...

    A class of the same module and name replaces the earlier class, as when a notebook's cell runs again.

    Args:
        name: Lower case letters, digits and underscores.
        kind: A dataclass of one of the families (:class:`~lightning_fa.DirectRule`, ...), with defaults for all settings.

    Raises:
        ValueError: ``name`` has other characters, or is taken by a rule or by a Lightning strategy.
        TypeError: ``kind`` is not a dataclass of a family, or has a setting without a default.
    """
    ours = {name + suffix for strategy in STRATEGIES for suffix in strategy.variants}
    taken = [full for full in sorted(ours) if full in StrategyRegistry and not _is_for(full, name)]
    if taken:
        raise ValueError(f"The name {name!r} is taken: there is a strategy {taken[0]!r} already. Choose another name.")
    add(name, kind)
    for strategy in STRATEGIES:
        strategy.register_rule(name, StrategyRegistry)


def _is_for(strategy: str, rule: str) -> bool:
    return bool(StrategyRegistry[strategy]["init_params"].get("rule") == rule)
