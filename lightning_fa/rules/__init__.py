"""The rules, one file each, and the registry of their short names."""

from lightning_fa.rules.base import DirectRule as DirectRule
from lightning_fa.rules.base import LocalRule as LocalRule
from lightning_fa.rules.base import Rule as Rule
from lightning_fa.rules.base import SyntheticRule as SyntheticRule
from lightning_fa.rules.base import TransportRule as TransportRule
from lightning_fa.rules.registry import *  # noqa: F403 (as above)
