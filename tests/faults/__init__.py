"""The deliberate faults of :mod:`tests.mutations`: what is wrong, where, and which tests have to notice."""

from tests.faults import callbacks, core, layers, metrics, outside, pipeline
from tests.faults.fault import Fault as Fault

FAULTS = [*core.FAULTS, *layers.FAULTS, *metrics.FAULTS, *callbacks.FAULTS, *pipeline.FAULTS, *outside.FAULTS]
