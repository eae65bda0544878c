"""One training and its hardware."""

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
    """One training. `name` distinguishes the runs of one seed, and `settings` is the paper's dataclass."""

    experiment: str
    name: str
    rule: str
    seed: int
    settings: Any

    @property
    def label(self) -> str:
        """The name of the run in lines of progress, and the path of its folder."""
        return f"{self.experiment}/{self.name}-seed{self.seed}"

    @property
    def group(self) -> str:
        """The name of the group in which W&B shows the run."""
        return self.experiment


def together(runs: Sequence[Run]) -> str:
    """The common name of runs that differ only in their seeds."""
    return f"{runs[0].experiment}/{runs[0].name}"
