"""The normalised squared error by which the paper measures learning in tasks 1 and 3."""

from collections.abc import Sequence

import torch
from torch import Tensor

WINDOW = 10


class SquaredErrors:
    """The NSE |y* - y|^2 / mean |y*|^2 of every example, and its mean over the last 10 examples, [copies]."""

    def __init__(self, y: Tensor) -> None:
        self.size = y.square().sum(dim=-1).mean(dim=1)
        self.seen: list[Tensor] = []

    def add(self, e: Tensor) -> None:
        """Add the error `e` [copies, o] of the next example."""
        self.seen.append(e.square().sum(dim=-1) / self.size)

    def smooth(self, examples: int | None = None) -> Tensor:
        """The mean NSE after `examples` examples, by default after all."""
        end = len(self.seen) if examples is None else examples
        return window(self.seen[:end])


def window(values: Sequence[Tensor], size: int = WINDOW) -> Tensor:
    """The mean of the last `size` values, or of all values if there are fewer."""
    return torch.stack(list(values[-size:])).mean(dim=0)
