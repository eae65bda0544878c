"""Callbacks that measure a network while it learns. Only PreAlignment changes what the network learns.

They work on any LightningModule, under a feedback strategy, the mixin or plain backpropagation, and with any logger.
:data:`NAMES` lists everything that they log. They need no packages beyond the library's; figures need matplotlib.
"""

from lightning_fa.callbacks.alignment import AlignmentMonitor
from lightning_fa.callbacks.configuration import RuleConfig
from lightning_fa.callbacks.health import GradientHealth
from lightning_fa.callbacks.names import NAMES
from lightning_fa.callbacks.prealignment import PreAlignment
from lightning_fa.callbacks.probes import LinearProbes
from lightning_fa.callbacks.representations import RepresentationMonitor
from lightning_fa.callbacks.schedule import Steps
from lightning_fa.callbacks.synthetic import SyntheticGradientMonitor
from lightning_fa.callbacks.weights import WeightNorms

__all__ = [
    "NAMES",
    "AlignmentMonitor",
    "GradientHealth",
    "LinearProbes",
    "PreAlignment",
    "RepresentationMonitor",
    "RuleConfig",
    "Steps",
    "SyntheticGradientMonitor",
    "WeightNorms",
]
