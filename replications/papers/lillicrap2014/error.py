"""The normalised squared error by which the paper measures learning in tasks 1 and 3."""

from collections.abc import Sequence

import torch
from torch import Tensor

WINDOW = 10


class SquaredErrors:
    """The NSE of every example, |y* - y|^2 / mean |y*|^2, and its mean over the last 10 of them, [copies]."""

    def __init__(self, y: Tensor) -> None:
        self.size = y.square().sum(dim=-1).mean(dim=1)
        self.seen: list[Tensor] = []

    def add(self, e: Tensor) -> None:
        """`e` [copies, o] is the error of the next example."""
        self.seen.append(e.square().sum(dim=-1) / self.size)

    def smooth(self, examples: int | None = None) -> Tensor:
        """The mean after so many examples; by default after all."""
        end = len(self.seen) if examples is None else examples
        return window(self.seen[:end])


def window(values: Sequence[Tensor], size: int = WINDOW) -> Tensor:
    """The mean of the last values, of fewer where there are not as many."""
    return torch.stack(list(values[-size:])).mean(dim=0)
