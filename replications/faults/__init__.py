"""Faults that the claims must catch: `python -m replications audit` plants them and shows which claims survive which."""

from replications.faults.command import audit as audit
