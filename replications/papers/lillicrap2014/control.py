"""The angle of figure 2b for runs in which AlignmentMonitor does not log it.

These are the runs whose training does not use B, and the sparse runs, in which the rule governs W alone.
"""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_fa.callbacks.monitor import Monitor
from lightning_fa.callbacks.schedule import Steps
from lightning_fa.metrics import angles
from replications.papers.lillicrap2014.network import LogisticNetwork


class FeedbackAngle(Monitor):
    """Log control/angle: the angle between B e, for a given B [outputs, hidden], and W^T e, the mean over samples."""

    def __init__(self, B: Tensor, steps: Steps) -> None:
        super().__init__(steps)
        self.B = B

    @torch.no_grad()
    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        assert isinstance(module, LogisticNetwork)
        x, y = batch
        e = torch.sigmoid(module(x)) - torch.nn.functional.one_hot(y, module.outputs)
        found = {"control/angle": angles(e @ self.B.to(e), e @ module.layers[2].weight).nanmean().item()}
        for logger in trainer.loggers:
            logger.log_metrics(found, step=trainer.global_step)
