"""Lightning strategies that train an unmodified LightningModule by a feedback rule.

Each is a true subclass of a stock strategy, since Lightning asks with ``isinstance``; all they add is in
:class:`FeedbackStrategyMixin`. ``loss.backward()`` stays the one backward, so that precision, clipping, accumulation,
reduction and checkpoints remain Lightning's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, StrategyRegistry
from lightning.pytorch.trainer.states import TrainerFn

from lightning_fa.attach import Attached
from lightning_fa.mixin import FeedbackMixin
from lightning_fa.rules import RULES, Rule, resolve
from lightning_fa.training_step import Governed, Targets
from lightning_fa.wiring.blocks import Blocks

CHECKPOINT_KEY = "lightning_fa"


class FeedbackStrategyMixin:
    """Attaches a rule to the LightningModule for the time of ``Trainer.fit``.

    Args:
        rule: A rule or its registry name.
        blocks: See :func:`lightning_fa.attach`.
        targets: Where the rule finds the targets in a batch: an index, a key or a function. Default: ``batch[1]`` or
            the usual keys.
        ungoverned: See :func:`lightning_fa.attach`.
        **kwargs: Of the stock strategy.
    """

    lightning_module: LightningModule | None

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
        """The rule in the model, from ``setup`` on; after ``fit`` its feedback can still be read.

        Raises:
            RuntimeError: ``fit`` has not begun.
        """
        governed = self._governed or self._finished
        if governed is None:
            raise RuntimeError("The rule is attached when `Trainer.fit` sets the strategy up, which has not happened.")
        return governed.attached

    def _attach(self) -> Attached:
        module = self.lightning_module
        assert module is not None
        if self._governed is None:
            if isinstance(module, FeedbackMixin):
                raise MisconfigurationException(
                    f"{type(module).__name__} names its own rule (FeedbackMixin), and so does {type(self).__name__}. Use a "
                    "stock strategy with it, or drop the mixin."
                )
            self._governed = Governed(module, self.rule, self.blocks, self.targets, self.ungoverned)
            if self._finished is not None and self._finished.module is module:  # a second `fit` goes on where one ended
                self._governed.attached.load_state_dict(self._finished.attached.state_dict())
        return self._governed.attached

    def setup(self, trainer: Trainer) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._attach()
        super().setup(trainer)  # type: ignore[misc]

    def teardown(self) -> None:
        try:
            super().teardown()  # type: ignore[misc]
        finally:
            if self._governed is not None:
                self._governed.release()
                self._finished, self._governed = self._governed, None

    def save_checkpoint(self, checkpoint: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if self._governed or self._finished:
            checkpoint[CHECKPOINT_KEY] = self.attached.state_dict()
        super().save_checkpoint(checkpoint, *args, **kwargs)  # type: ignore[misc]

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        checkpoint: dict[str, Any] = super().load_checkpoint(*args, **kwargs)  # type: ignore[misc]
        self._restored = checkpoint.get(CHECKPOINT_KEY)
        return checkpoint

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        module = self.lightning_module
        if module is not None and module.trainer.state.fn == TrainerFn.FITTING:
            attached = self._attach()
            if self._restored is not None:
                attached.load_state_dict(self._restored)
        super().load_model_state_dict(checkpoint, *args, **kwargs)  # type: ignore[misc]

    @classmethod
    def register_strategies(cls, strategy_registry: Any) -> None:
        """Register ``cls`` under the name of every rule with :attr:`suffix`."""
        for name in RULES:
            strategy_registry.register(
                name + cls.suffix,
                cls,
                description=f"{cls.__name__} with {RULES[name].__name__}",
                override=True,
                rule=name,
            )

    suffix: str = ""
    """What follows a rule's short name in the registry."""


class FeedbackStrategy(FeedbackStrategyMixin, SingleDeviceStrategy):
    """One device, by default the one the Trainer's accelerator chose: ``Trainer(strategy="dfa", accelerator="gpu")``."""

    def __init__(
        self, rule: str | Rule = "dfa", *, device: torch.device | str | int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(rule, device="cpu" if device is None else device, **kwargs)
        self._parallel_devices = None if device is None else [self._root_device]

    @property
    def parallel_devices(self) -> list[torch.device] | None:
        """The device as a list of one: what Lightning sets on a strategy to hand it the accelerator's choice."""
        return self._parallel_devices

    @parallel_devices.setter
    def parallel_devices(self, devices: Sequence[torch.device]) -> None:
        if len(devices) != 1:
            raise MisconfigurationException(
                f"{type(self).__name__} trains on one device, but {len(devices)} were selected. Use `devices=1`, or a "
                "distributed strategy such as 'dfa_ddp'."
            )
        self._parallel_devices = list(devices)
        self._root_device = self._parallel_devices[0]


class DDPFeedbackStrategy(FeedbackStrategyMixin, DDPStrategy):
    """Several processes with a replica each; gradients are reduced by DDP as ever."""

    suffix = "_ddp"


for _strategy in (FeedbackStrategy, DDPFeedbackStrategy):
    _strategy.register_strategies(StrategyRegistry)
