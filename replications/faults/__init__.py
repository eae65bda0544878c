"""Faults that the claims must catch. `python -m replications audit` plants each fault and shows which claims catch it."""

from replications.faults.command import audit as audit
