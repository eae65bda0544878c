"""Classes that a random network assigns: the same task with 2, 10, 100 or 1000 outputs.

The teacher has one hidden layer of 8 units, so that it sees 8 of 64 directions. It was chosen, before any other rule was run
on it, for the distance between backpropagation and the frozen control: without one there is nothing to recover. One run at
each of four rates, the best test accuracy of either, in percent:

===================  ===========  ===========  ===========  ===========
teacher, samples     2            10           100          1000
===================  ===========  ===========  ===========  ===========
linear, 6000         97.5 / 95.1  88.4 / 82.1  41.0 / 50.3  9.8 / 16.6
linear, 30000        98.0 / 95.0  90.7 / 84.9  55.4 / 65.9  23.5 / 34.0
64 hidden, 6000      87.2 / 86.3  64.8 / 63.3  35.2 / 34.9  -
8 hidden, 6000       92.4 / 90.6  84.4 / 68.2  77.5 / 46.9  68.5 / 33.0
4 hidden, 6000       92.6 / 89.9  90.8 / 75.5  87.3 / 62.4  -
===================  ===========  ===========  ===========  ===========
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.leaderboard.task import Preset, Split, Splits, Task
from benchmarks.leaderboard.tasks.images import mlp

INPUTS, HIDDEN, WIDTH = 64, 8, 256
CLASSES = (2, 10, 100, 1000)
TEST = 5_000
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def _drawn(classes: int, preset: Preset, data_dir: Path | None) -> Splits:
    """Gaussian inputs; the label is the largest output of a teacher whose weights are Gaussian."""
    assert preset.samples is not None, "a drawn task has no sample of its own"
    rng = torch.Generator().manual_seed(classes)
    x = torch.randn(preset.samples + TEST, INPUTS, generator=rng)
    h = torch.tanh(2 * INPUTS**-0.5 * x @ torch.randn(INPUTS, HIDDEN, generator=rng))
    y = (h @ torch.randn(HIDDEN, classes, generator=rng)).argmax(1)
    cut = preset.samples - preset.samples // 6
    bounds = ((0, cut), (cut, preset.samples), (preset.samples, None))
    return Splits(
        *[Split(x[i:j], y[i:j]) for i, j in bounds], f"a teacher of {HIDDEN} hidden units and {classes} classes"
    )


def _build(classes: int, splits: Splits) -> nn.Module:
    return mlp(INPUTS, WIDTH, WIDTH, WIDTH, classes)


TEACHERS = tuple(
    Task(
        name=f"teacher{classes}",
        title=f"Teacher with {classes} classes, {INPUTS}-{WIDTH}x3-{classes} tanh",
        data=partial(_drawn, classes),
        build=partial(_build, classes),
        kind="classes",
        head="6.",
        presets={
            "quick": Preset(samples=6_000, epochs=10, tuning_epochs=4, rates=RATES, seeds=3),
            "full": Preset(samples=60_000, epochs=30, tuning_epochs=5, rates=RATES),
        },
        notes=f"The teacher has {HIDDEN} hidden units, which was chosen for the distance between backpropagation and the frozen "
        "control: of a linear teacher the control learns more than backpropagation where classes are many.",
    )
    for classes in CLASSES
)
