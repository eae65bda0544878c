"""Images, flat: MNIST in 6 x 256 and CIFAR-10 in 4 x 1024 tanh."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

from torch import nn

from benchmarks.leaderboard.task import Preset, Split, Splits, Task
from replications.data import load


def images(name: str, preset: Preset, data_dir: Path | None, *, flat: bool = True) -> Splits:
    """The last sixth of the training samples is held out; of fewer samples, a random part of all."""
    data = load(name, data_dir)
    part = data.part(preset.samples, None)
    x, y, test = part.train_inputs, part.train_labels, part.test_inputs
    x, test = (x.flatten(1), test.flatten(1)) if flat else (x, test)
    cut = len(x) - len(x) // 6
    return Splits(Split(x[:cut], y[:cut]), Split(x[cut:], y[cut:]), Split(test, part.test_labels), data.label)


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers with tanh between them."""
    layers = [m for i, o in pairwise(widths) for m in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def _mnist(splits: Splits) -> nn.Module:
    return mlp(784, *[256] * 6, 10)


def _cifar10(splits: Splits) -> nn.Module:
    return mlp(3072, *[1024] * 4, 10)


MNIST = Task(
    name="mnist",
    title="MNIST, 784-256x6-10 tanh",
    data=partial(images, "mnist"),
    build=_mnist,
    kind="classes",
    head="12.",
    presets={
        "smoke": Preset(samples=600, epochs=2, tuning_epochs=1, rates=(1e-3, 3e-3), seeds=2),
        "quick": Preset(samples=6_000, epochs=5, tuning_epochs=2),
        "full": Preset(samples=None, epochs=30, tuning_epochs=5),
    },
)
CIFAR10_RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""From 3e-5, because backpropagation took 1e-4 where it was the smallest."""
CIFAR10 = Task(
    name="cifar10",
    title="CIFAR-10, 3072-1024x4-10 tanh",
    data=partial(images, "cifar10"),
    build=_cifar10,
    kind="classes",
    head="8.",
    presets={
        "quick": Preset(samples=None, epochs=5, tuning_epochs=2, rates=CIFAR10_RATES, seeds=3),
        "full": Preset(samples=None, epochs=30, tuning_epochs=5, rates=CIFAR10_RATES),
    },
)
