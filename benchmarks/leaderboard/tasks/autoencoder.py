"""MNIST through a bottleneck: 784-256-32-256-784 tanh with a linear output, mean squared error."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from benchmarks.leaderboard.task import Preset, Split, Splits, Task
from benchmarks.leaderboard.tasks.images import images, mlp


def _itself(preset: Preset, data_dir: Path | None) -> Splits:
    splits = images("mnist", preset, data_dir)
    train, held, test = (Split(split.x, split.x) for split in splits[:3])
    return Splits(train, held, test, splits.label)


def _build(splits: Splits) -> nn.Module:
    return mlp(784, 256, 32, 256, 784)


AUTOENCODER = Task(
    name="autoencoder",
    title="MNIST autoencoder, 784-256-32-256-784 tanh",
    data=_itself,
    build=_build,
    kind="values",
    head="6.",
    presets={
        "quick": Preset(samples=12_000, epochs=5, tuning_epochs=2),
        "full": Preset(samples=None, epochs=25, tuning_epochs=5),
    },
    # a readout of classes has no meaning for images: these two rules name the loss of their readouts
    settings={"lafs": {"loss": "mse"}, "solo": {"loss": "mse"}, "local": {"loss": "sim"}},
)
