"""The base of all monitors: it decides when they measure, and lets a resumed run continue as if it had not stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from lightning_fa.callbacks.identity import key_of
from lightning_fa.callbacks.passes import check_continues
from lightning_fa.callbacks.schedule import Steps, check_steps, is_due
from lightning_fa.strategies import PipelineFeedbackStrategy


def check_measurable(callback: Callback, trainer: Trainer) -> None:
    """Refuse, before training, a strategy under which no rank has whole weights.

    Raises:
        MisconfigurationException: The strategy shards the weights or divides the network.
    """
    name = type(callback).__name__
    if isinstance(trainer.strategy, (FSDPStrategy, ModelParallelStrategy, PipelineFeedbackStrategy)):
        raise MisconfigurationException(
            f"{name} needs whole weights and gradients, but no rank has them under {type(trainer.strategy).__name__}. Use "
            "the callback with a DDP or single-device strategy, or load a checkpoint of this run under one."
        )


class Monitor(Callback, ABC):
    """Abstract. Measures at the chosen optimiser steps and once more at the end of training.

    Callbacks later in the Trainer's list, such as ModelCheckpoint and EarlyStopping, can monitor any number by its name:
    ``EarlyStopping("align/net.0/angle")``. They read the value of the last measurement.

    :func:`check_measurable` refuses strategies under which no rank has whole weights. A compiled module is measured in eager
    mode, and trains compiled.

    Args:
        steps: When to measure: every n steps, at the given steps, or ``"log"`` for 0, 1, 2, 5, 10, 20, 50, ...
        **settings: All settings of the subclass that decide what is measured. Several callbacks of one class in a Trainer must
            differ in these settings.

    Attributes:
        steps: As above.
        latest: The numbers of the last measurement, by name.
    """

    def __init__(self, steps: Steps, **settings: Any) -> None:
        self.steps = check_steps(steps)
        self._key = key_of(self, {"steps": self.steps, **settings})
        self.latest: dict[str, float] = {}
        self._last_step = -1
        self._batch: tuple[Any, int] | None = None

    @property
    def state_key(self) -> str:
        return self._key

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            check_measurable(self, trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        check_continues(trainer, pl_module, checkpoint)

    @abstractmethod
    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        """Measure the weights before optimiser step number ``trainer.global_step``, and send the numbers."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._batch = (batch, batch_idx)
        if is_due(self.steps, trainer.global_step):
            self._once(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._once(trainer, pl_module)
        self._batch = None

    def _once(self, trainer: Trainer, module: LightningModule) -> None:
        # Under gradient accumulation several batches belong to one step.
        if self._batch is not None and trainer.global_step != self._last_step:
            self._last_step = trainer.global_step
            self.measure(trainer, module, *self._batch)

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self._last_step, "latest": dict(self.latest)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last_step, self.latest = state_dict["last_step"], dict(state_dict["latest"])
