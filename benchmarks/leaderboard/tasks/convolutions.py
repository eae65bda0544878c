"""A small convolutional network on CIFAR-10."""

from __future__ import annotations

from functools import partial

from torch import nn

from benchmarks.leaderboard.task import Preset, Splits, Task
from benchmarks.leaderboard.tasks.images import images


def _build(splits: Splits) -> nn.Module:
    def block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))

    return nn.Sequential(*block(3, 32), *block(32, 64), *block(64, 64), nn.Flatten(), nn.Linear(1024, 10))


CNN = Task(
    name="cnn",
    title="CIFAR-10, three convolutions of 32, 64 and 64 channels, ReLU",
    data=partial(images, "cifar10", flat=False),
    build=_build,
    kind="classes",
    head="10.",
    presets={
        "quick": Preset(samples=6_000, epochs=15, tuning_epochs=5, rates=(1e-3, 3e-3, 1e-2, 3e-2), seeds=3),
        "full": Preset(samples=None, epochs=30, tuning_epochs=5),
    },
)
