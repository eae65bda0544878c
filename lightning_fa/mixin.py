"""A LightningModule that names its own rule, and keeps it under any stock strategy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

from lightning.pytorch.trainer.states import TrainerFn

from lightning_fa.attach import Attached
from lightning_fa.rules import Rule
from lightning_fa.training_step import Governed, Targets
from lightning_fa.wiring.blocks import Blocks

HOOKS = ("configure_model", "on_save_checkpoint", "on_load_checkpoint")


class FeedbackMixin:
    """Put it before ``LightningModule``: ``class Net(fa.FeedbackMixin, LightningModule): rule = "dfa"``.

    The rule is attached in ``configure_model``, before any strategy wraps the module, and stays attached.

    Attributes:
        rule: A rule or its registry name.
        feedback_blocks: See :func:`lightning_fa.attach`.
        feedback_targets: Where the targets are in a batch: an index, a key or a function of the batch.
        feedback_ungoverned: See :func:`lightning_fa.attach`.
    """

    rule: str | Rule = "dfa"
    feedback_blocks: Blocks = None
    feedback_targets: Targets = None
    feedback_ungoverned: str | Sequence[str] = ()

    _governed: Governed | None = None
    _restored: ClassVar[dict[str, Any] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # A user's own hook that forgets `super()` would silently train by backprop, or forget the feedback.
        super().__init_subclass__(**kwargs)
        for hook in HOOKS:
            if hook in cls.__dict__:
                setattr(cls, hook, _followed_by_ours(cls.__dict__[hook], getattr(FeedbackMixin, hook)))

    @property
    def attached(self) -> Attached:
        """The rule in this module.

        Raises:
            RuntimeError: ``configure_model`` has not run; call it yourself where there is no Trainer.
        """
        if self._governed is None:
            raise RuntimeError("No rule is attached yet: `Trainer.fit` does it, or call `configure_model()` yourself.")
        return self._governed.attached

    def configure_model(self) -> None:
        trainer = getattr(self, "_trainer", None)
        if self._governed is not None or (trainer is not None and trainer.state.fn != TrainerFn.FITTING):
            return
        self._governed = Governed(
            self,  # type: ignore[arg-type]
            self.rule,
            self.feedback_blocks,
            self.feedback_targets,
            self.feedback_ungoverned,
        )
        if self._restored is not None:
            self.attached.load_state_dict(self._restored)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._governed is not None:
            checkpoint["lightning_fa"] = self.attached.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.__dict__["_restored"] = checkpoint.get("lightning_fa")
        if self._governed is not None and self._restored is not None:
            self.attached.load_state_dict(self._restored)


def _followed_by_ours(own: Any, ours: Any) -> Any:
    @functools.wraps(own)
    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = own(self, *args, **kwargs)
        ours(self, *args, **kwargs)
        return result

    return hook
