"""Lightning strategies that train an unmodified LightningModule by a feedback rule.

Each is a true subclass of a stock strategy, because Lightning checks with ``isinstance``. The common part is
:class:`FeedbackStrategyMixin`. A step still runs one ``loss.backward()``, so precision, clipping, accumulation, reduction
and checkpoints remain Lightning's.
"""

from lightning_fa.strategies.base import FeedbackStrategyMixin
from lightning_fa.strategies.ddp import DDPFeedbackStrategy
from lightning_fa.strategies.fsdp import FSDPFeedbackStrategy
from lightning_fa.strategies.model_parallel import ModelParallelFeedbackStrategy
from lightning_fa.strategies.pipeline import PipelineFeedbackStrategy
from lightning_fa.strategies.registration import register
from lightning_fa.strategies.single_device import FeedbackStrategy

__all__ = [
    "DDPFeedbackStrategy",
    "FSDPFeedbackStrategy",
    "FeedbackStrategy",
    "FeedbackStrategyMixin",
    "ModelParallelFeedbackStrategy",
    "PipelineFeedbackStrategy",
    "register",
]
