"""What one training is, and on what it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hardware:
    """The Trainer's arguments of the same names."""

    accelerator: str = "auto"
    devices: str = "1"
    precision: str = "32-true"


@dataclass(frozen=True)
class Run:
    """One training. `name` tells it from the other runs of its seed, `settings` is the paper's dataclass."""

    experiment: str
    name: str
    rule: str
    seed: int
    settings: Any

    @property
    def label(self) -> str:
        """For lines of progress, and for the run's folder."""
        return f"{self.experiment}/{self.name}-seed{self.seed}"

    @property
    def group(self) -> str:
        """Which runs W&B shows together."""
        return self.experiment


def together(runs: Sequence[Run]) -> str:
    """What runs that differ in their seeds alone are called."""
    return f"{runs[0].experiment}/{runs[0].name}"
