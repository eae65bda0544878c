"""A LightningModule that names its own rule, and keeps the rule under any stock strategy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn

from lightning_fa.attached import Attached
from lightning_fa.rules import Rule
from lightning_fa.sharding import unsharded
from lightning_fa.surgery import strip_feedback
from lightning_fa.training_step import CHECKPOINT_KEY, Governed, Targets, begin, check_same_rule
from lightning_fa.wiring.blocks.choice import Blocks

HOOKS = ("configure_model", "on_fit_start", "on_save_checkpoint", "on_load_checkpoint")


class FeedbackMixin:
    """Name this mixin before ``LightningModule``: ``class Net(fa.FeedbackMixin, LightningModule): rule = "dfa"``.

    The rule is attached in ``configure_model``, before any strategy wraps the module, and stays attached. Checkpoints hold
    the rule and its feedback, and ``Trainer.fit(ckpt_path=)`` continues under the same rule only. To start from the weights of
    another training, load them (``Net.load_from_checkpoint(path)``) and call ``fit`` without ``ckpt_path``.

    Attributes:
        rule: A rule or its registry name. It has no default.
        feedback_blocks: See :func:`lightning_fa.attach`.
        feedback_targets: Where the targets are in a batch: an index, a key or a function of the batch.
        feedback_ungoverned: See :func:`lightning_fa.attach`.

    Raises:
        TypeError: when a class is defined with the mixin after ``LightningModule``, whose hooks would hide the mixin's hooks.
        MisconfigurationException: at the beginning of ``fit``: ``rule`` is not set, or an optimizer that was built before the
            rule was attached does not hold the learned feedback.
        ValueError: at the beginning of ``fit``: the checkpoint was made under another rule.
    """

    rule: str | Rule
    feedback_blocks: Blocks = None
    feedback_targets: Targets = None
    feedback_ungoverned: str | Sequence[str] = ()

    _governed: Governed | None = None
    _restored: ClassVar[dict[str, Any] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # With a user's own hook that does not call `super()` the model would silently train by backpropagation, or lose feedback.
        super().__init_subclass__(**kwargs)
        for hook in HOOKS:
            if hook in cls.__dict__:
                setattr(cls, hook, _with_ours(hook, cls.__dict__[hook]))
        for hook in HOOKS:
            owner = next(base for base in cls.__mro__ if hook in base.__dict__)
            if not issubclass(owner, FeedbackMixin):
                raise TypeError(
                    f"{cls.__name__} would train by backpropagation: `{hook}` of {owner.__name__} hides the hook of "
                    f"FeedbackMixin, a later base. Name FeedbackMixin first: `class {cls.__name__}(fa.FeedbackMixin, ...)`."
                )

    @property
    def attached(self) -> Attached:
        """The rule in this module.

        Raises:
            RuntimeError: ``configure_model`` has not run; call it yourself if there is no Trainer.
        """
        if self._governed is None:
            raise RuntimeError(
                "No rule is attached yet: `Trainer.fit` attaches it, or call `configure_model()` yourself."
            )
        return self._governed.attached

    def configure_model(self) -> None:
        trainer = self._feedback_trainer
        if self._governed is not None or (trainer is not None and trainer.state.fn != TrainerFn.FITTING):
            return
        if getattr(self, "rule", None) is None:
            raise MisconfigurationException(
                f"{type(self).__name__} names no rule. Set the attribute `rule` in the class or in `__init__`, as in "
                '`rule = "dfa"`.'
            )
        self._governed = Governed(
            self,  # type: ignore[arg-type]
            self.rule,
            self.feedback_blocks,
            self.feedback_targets,
            self.feedback_ungoverned,
        )
        self._restore()

    def on_fit_start(self) -> None:
        if self._governed is not None:
            begin(self.attached, self._feedback_trainer, self.attached.summary())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._governed is not None:
            strip_feedback(checkpoint["state_dict"])
            with unsharded(self._feedback_root):
                checkpoint[CHECKPOINT_KEY] = self.attached.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.__dict__["_restored"] = checkpoint.get(CHECKPOINT_KEY)
        trainer = self._feedback_trainer
        if self._governed is not None and trainer is not None and trainer.state.fn == TrainerFn.FITTING:
            check_same_rule(self.attached, checkpoint)
        self._restore()

    def _restore(self) -> None:
        if self._governed is not None and self._restored is not None:
            with unsharded(self._feedback_root):
                self.attached.load_state_dict(self._restored)

    @property
    def _feedback_trainer(self) -> Any:
        return getattr(self, "_trainer", None)

    @property
    def _feedback_root(self) -> Any:
        trainer = self._feedback_trainer
        return None if trainer is None else trainer.strategy.model


def _with_ours(hook: str, own: Any) -> Any:
    ours = getattr(FeedbackMixin, hook)

    @functools.wraps(own)
    def both(self: Any, *args: Any, **kwargs: Any) -> Any:
        # FSDP2 shards layers in `configure_model`. They must hold their feedback by then, unless they are made there.
        first = hook == "configure_model" and _shards(self) and any(p.ndim > 1 for p in self.parameters())
        if first:
            ours(self, *args, **kwargs)
        result = own(self, *args, **kwargs)
        if not first:
            ours(self, *args, **kwargs)
        return result

    return both


def _shards(module: Any) -> bool:
    trainer = getattr(module, "_trainer", None)
    return trainer is not None and isinstance(trainer.strategy, ModelParallelStrategy)
