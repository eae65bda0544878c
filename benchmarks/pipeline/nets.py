"""The networks, each a chain of parts that is divided between two stages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn


class Unit(nn.Module):
    """A residual unit that normalises each sample by itself, so that microbatches are exact."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(4, channels) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs):
            h = conv(F.relu(norm(h)))
        return x + h


class Task(NamedTuple):
    """A network, a batch, and the settings of the measurement."""

    name: str
    parts: Callable[[], list[nn.Module]]
    cut: int
    """The number of parts in the first of two stages."""
    shape: tuple[int, ...]
    """The shape of a sample."""
    crosses: tuple[int, ...]
    """The shape of a sample's activations between the two stages."""
    batch: int
    microbatches: tuple[int, ...]
    steps: int
    warm_up: int = 4

    def net(self) -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(*self.parts())

    def data(self) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(1)
        return torch.randn(self.batch, *self.shape, generator=rng), torch.randint(10, (self.batch,), generator=rng)


def mlp(inputs: int, width: int, depth: int) -> list[nn.Module]:
    hidden: list[nn.Module] = [
        nn.Sequential(nn.Linear(i, o), nn.ReLU()) for i, o in pairwise([inputs, *[width] * depth])
    ]
    return [*hidden, nn.Linear(width, 10)]


def residual(channels: int, units: int) -> list[nn.Module]:
    stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return [stem, *(Unit(channels) for _ in range(units)), head]


TASKS = (
    Task("MLP 784-1024x8-10", partial(mlp, 784, 1024, 8), 4, (784,), (1024,), 128, (2, 4, 8, 16), 30),
    Task(
        "residual conv net, 8 units of 32 channels",
        partial(residual, 32, 8),
        5,
        (3, 16, 16),
        (32, 16, 16),
        32,
        (2, 4, 8),
        10,
    ),
)
SMOKE = (
    Task("residual conv net, 2 units of 4 channels", partial(residual, 4, 2), 2, (3, 6, 6), (4, 6, 6), 8, (2,), 3, 1),
)


class Net(LightningModule):
    """The network as a LightningModule of a user."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.net = task.net()
        self.example_input_array = task.data()[0][:2]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)
