"""A callback that measures on held-out samples during training."""

from collections.abc import Callable, Collection

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_fa.metrics import accuracy

ROWS = 1000


class HeldOut(Callback):
    """Log the accuracy in percent, or another score, on fixed samples after chosen numbers of steps.

    Args:
        logits: a function from the module and inputs to the module's outputs
        x, y: the fixed samples
        steps: numbers of optimiser steps after which to measure
        name: the name under which the score is logged
        score: a function from all outputs and `y` to the score
    """

    def __init__(
        self,
        logits: Callable[[LightningModule, Tensor], Tensor],
        x: Tensor,
        y: Tensor,
        steps: Collection[int],
        name: str = "test/accuracy_at",
        score: Callable[[Tensor, Tensor], float] = accuracy,
    ) -> None:
        self.logits, self.x, self.y = logits, x, y
        self.steps, self.name, self.score = frozenset(steps), name, score

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if trainer.global_step in self.steps:
            self.x, self.y = self.x.to(pl_module.device), self.y.to(pl_module.device)
            found = {self.name: self.measure(pl_module)}
            for logger in trainer.loggers:
                logger.log_metrics(found, step=trainer.global_step)

    @torch.no_grad()
    def measure(self, module: LightningModule) -> float:
        """The score of the present weights, in evaluation mode. The module's mode is restored afterwards."""
        training = module.training
        module.eval()
        logits = torch.cat([self.logits(module, part) for part in self.x.split(ROWS)])
        module.train(training)
        return self.score(logits, self.y)
