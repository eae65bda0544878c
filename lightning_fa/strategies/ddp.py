"""Several processes with a replica each."""

from __future__ import annotations

from lightning.pytorch.strategies import DDPStrategy

from lightning_fa.strategies.base import FeedbackStrategyMixin


class DDPFeedbackStrategy(FeedbackStrategyMixin, DDPStrategy):
    """Several processes with a replica each; gradients are reduced by DDP as ever, and fixed feedback is never sent."""

    suffix = "_ddp"
