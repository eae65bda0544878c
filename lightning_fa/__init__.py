"""Train deep networks without backpropagation's weight transport, inside PyTorch Lightning."""

from lightning_fa.attach import Attached, attach
from lightning_fa.mixin import FeedbackMixin
from lightning_fa.rules import (
    RULES,
    Backpropagation,
    DirectFeedbackAlignment,
    DirectRule,
    FeedbackAlignment,
    LinearAlignedFeedback,
    LocalRule,
    Rule,
    TransportRule,
)
from lightning_fa.strategies import DDPFeedbackStrategy, FeedbackStrategy

__version__ = "0.1.0"

__all__ = [
    "RULES",
    "Attached",
    "Backpropagation",
    "DDPFeedbackStrategy",
    "DirectFeedbackAlignment",
    "DirectRule",
    "FeedbackAlignment",
    "FeedbackMixin",
    "FeedbackStrategy",
    "LinearAlignedFeedback",
    "LocalRule",
    "Rule",
    "TransportRule",
    "attach",
]
