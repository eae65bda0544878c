"""The part that every feedback strategy adds to a stock strategy."""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from lightning.fabric.utilities.distributed import _destroy_dist_connection, _distributed_is_initialized
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from lightning_fa.attached import Attached
from lightning_fa.mixin import FeedbackMixin
from lightning_fa.rules import PAIR_RULES, RULES, Rule, resolve
from lightning_fa.sharding import unsharded
from lightning_fa.training_step import CHECKPOINT_KEY, Governed, Targets, begin, check_same_rule
from lightning_fa.wiring.blocks.choice import Blocks, weights_of


class FeedbackStrategyMixin:
    """Attaches a rule to the LightningModule for the time of ``Trainer.fit``.

    Checkpoints hold the rule and its feedback. ``fit(ckpt_path=)`` continues a checkpoint under the same rule only, and a
    checkpoint of backpropagation under ``bp`` only. To start from the weights of another training, load the weights
    (``Net.load_from_checkpoint(path)``) and call ``fit`` without ``ckpt_path``. A stock strategy ignores the rule in a
    checkpoint and continues by backpropagation. The monitors and ``RuleConfig`` raise an error then, if they are among the
    callbacks.

    Args:
        rule: A rule or its registry name. Default: direct feedback alignment.
        blocks: See :func:`lightning_fa.attach`.
        targets: Where the rule finds the targets in a batch: an index, a key or a function. Default: ``batch[1]`` or
            the usual keys.
        ungoverned: See :func:`lightning_fa.attach`.
        **kwargs: Passed to the stock strategy.
    """

    lightning_module: LightningModule | None
    model: nn.Module | None

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"": {}}
    """Suffixes of a rule's short name in the registry, each with the arguments that it sets."""
    releases: ClassVar[bool] = True
    """Whether the rule is detached after ``fit``. False where the stock strategy leaves the module sharded."""

    def __init__(
        self,
        rule: str | Rule = "dfa",
        *,
        blocks: Blocks = None,
        targets: Targets = None,
        ungoverned: str | Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rule = resolve(rule)
        self.blocks = blocks
        self.targets = targets
        self.ungoverned = ungoverned
        self._governed: Governed | None = None
        self._finished: Governed | None = None
        self._restored: dict[str, Any] | None = None

    @property
    def attached(self) -> Attached:
        """The rule in the model, from ``setup`` on. Its feedback can be read after ``fit`` as well.

        Raises:
            RuntimeError: ``fit`` has not begun.
        """
        governed = self._governed or self._finished
        if governed is None:
            raise RuntimeError(
                "The rule is attached when `Trainer.fit` sets the strategy up, which has not happened in this process. "
                "If `fit` spawns or forks processes ('_ddp_spawn', '_ddp_fork', '_ddp_notebook'), only those processes have "
                "the rule: read the feedback from their checkpoints."
            )
        return governed.attached

    def __repr__(self) -> str:
        # A Trainer of the package `pytorch_lightning` rejects this object with an error that prints this text.
        return f"<{type(self).__name__} with {self.rule!r}; import Trainer from lightning.pytorch, not from pytorch_lightning>"

    def _attach(self) -> Attached:
        module = self.lightning_module
        assert module is not None
        if self._governed and self._governed.changed():  # by `setup` or `configure_model`
            self._governed.release()
            self._governed = None
        if self._governed is None:
            if isinstance(module, FeedbackMixin):
                raise MisconfigurationException(
                    f"{type(module).__name__} sets its own rule (FeedbackMixin), and {type(self).__name__} sets a rule as well. "
                    "Use a stock strategy with this module, or drop the mixin."
                )
            governed = Governed(module, self.rule, self.blocks, self.targets, self.ungoverned)
            if self._finished is not None and self._finished.module is module:  # a second `fit` continues the first
                try:
                    governed.attached.load_state_dict(self._finished.attached.state_dict())
                except ValueError as error:
                    governed.release()
                    raise ValueError(
                        "The feedback of this Trainer's last `fit` does not fit the network, which has changed since. Make a new "
                        f"Trainer, which draws new feedback. {error}"
                    ) from error
            self._governed = governed
        return self._governed.attached

    def setup_environment(self) -> None:
        connected = _distributed_is_initialized()
        super().setup_environment()  # type: ignore[misc]
        if _distributed_is_initialized() and not connected:
            # Lightning does so for NCCL only. A worker thread of gloo that still holds a tensor of Python's while the
            # interpreter ends aborts the process, and a training that was complete then counts as failed.
            atexit.register(_destroy_dist_connection)
        # Before callbacks copy the module (weight averaging) and before `configure_model` shards it.
        if self._fitting and any(weights_of(m) for m in self.lightning_module.modules()):  # type: ignore[union-attr]
            with suppress(ValueError):  # `setup` attaches again, and raises if the hooks have not removed the cause
                self._attach()

    def setup(self, trainer: Trainer) -> None:
        summary = self._attach().summary() if self._fitting else ""
        super().setup(trainer)  # type: ignore[misc]
        if self._fitting:
            begin(self.attached, trainer, summary)

    def teardown(self) -> None:
        try:
            super().teardown()  # type: ignore[misc]
        finally:
            if self._governed is not None and self.releases:
                self._governed.release()
                self._finished, self._governed = self._governed, None

    def save_checkpoint(self, checkpoint: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if self._governed or self._finished:
            with unsharded(self.model):
                checkpoint[CHECKPOINT_KEY] = self.attached.state_dict()
        super().save_checkpoint(checkpoint, *args, **kwargs)  # type: ignore[misc]

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        checkpoint: dict[str, Any] = super().load_checkpoint(*args, **kwargs)  # type: ignore[misc]
        self._restored = checkpoint.get(CHECKPOINT_KEY)
        return checkpoint

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        if self._fitting:
            attached = self._attach()
            check_same_rule(attached, checkpoint)
            if self._restored is not None:
                with unsharded(self.model):
                    attached.load_state_dict(self._restored)
        super().load_model_state_dict(checkpoint, *args, **kwargs)  # type: ignore[misc]

    @property
    def _fitting(self) -> bool:
        module = self.lightning_module
        return module is not None and module.trainer.state.fn == TrainerFn.FITTING

    @classmethod
    def register_strategies(cls, strategy_registry: Any) -> None:
        """Register ``cls`` under the name of every rule, with all :attr:`variants`."""
        for name in RULES | PAIR_RULES:
            cls.register_rule(name, strategy_registry)

    @classmethod
    def register_rule(cls, name: str, strategy_registry: Any) -> None:
        """Register ``cls`` for the rule of that name."""
        kind = (RULES | PAIR_RULES)[name].__name__
        for suffix, settings in cls.variants.items():
            strategy_registry.register(
                name + suffix, cls, description=f"{cls.__name__} with {kind}", override=True, rule=name, **settings
            )
