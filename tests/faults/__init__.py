"""The deliberate faults of :mod:`tests.mutations`: what is wrong, where, and which tests have to notice."""

from tests.faults import callbacks, layers, metrics, operators, outside, pipeline, rules, settling, wiring
from tests.faults.fault import Fault as Fault

FAULTS = [
    fault
    for part in (operators, settling, wiring, rules, layers, metrics, callbacks, pipeline, outside)
    for fault in part.FAULTS
]
