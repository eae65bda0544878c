"""Train deep networks without backpropagation's weight transport, inside PyTorch Lightning."""

from lightning_fa.attach import attach as attach
from lightning_fa.attach import attach_pair as attach_pair
from lightning_fa.attached import Attached as Attached
from lightning_fa.checked import Check as Check
from lightning_fa.checking import check as check
from lightning_fa.mixin import FeedbackMixin as FeedbackMixin
from lightning_fa.rules.base import DirectRule as DirectRule
from lightning_fa.rules.base import LocalRule as LocalRule
from lightning_fa.rules.base import Rule as Rule
from lightning_fa.rules.base import SyntheticRule as SyntheticRule
from lightning_fa.rules.base import TransportRule as TransportRule
from lightning_fa.rules.registry import *  # noqa: F403 (the registry is the list of the rules that are exported)
from lightning_fa.strategies import DDPFeedbackStrategy as DDPFeedbackStrategy
from lightning_fa.strategies import FeedbackStrategy as FeedbackStrategy
from lightning_fa.strategies import FSDPFeedbackStrategy as FSDPFeedbackStrategy
from lightning_fa.strategies import ModelParallelFeedbackStrategy as ModelParallelFeedbackStrategy
from lightning_fa.strategies import PipelineFeedbackStrategy as PipelineFeedbackStrategy
from lightning_fa.strategies import register as register
from lightning_fa.wiring.transport.layers import register_layer as register_layer

__version__ = "0.1.0"
