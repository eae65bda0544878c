"""Classes that a random network assigns: the same task with 2, 10, 100 or 1000 outputs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.leaderboard.task import Preset, Split, Splits, Task
from benchmarks.leaderboard.tasks.images import mlp

INPUTS, WIDTH = 64, 256
CLASSES = (2, 10, 100, 1000)
TEST = 5_000


def _drawn(classes: int, preset: Preset, data_dir: Path | None) -> Splits:
    """Gaussian inputs; the label is the largest output of a linear teacher, with rows drawn from a Gaussian."""
    assert preset.samples is not None, "a drawn task has no sample of its own"
    rng = torch.Generator().manual_seed(classes)
    teacher = torch.randn(INPUTS, classes, generator=rng)
    x = torch.randn(preset.samples + TEST, INPUTS, generator=rng)
    y = (x @ teacher).argmax(1)
    cut = preset.samples - preset.samples // 6
    bounds = ((0, cut), (cut, preset.samples), (preset.samples, None))
    return Splits(*[Split(x[i:j], y[i:j]) for i, j in bounds], f"a linear teacher of {classes} classes")


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
            "quick": Preset(samples=6_000, epochs=10, tuning_epochs=4, seeds=3),
            "full": Preset(samples=60_000, epochs=30, tuning_epochs=5),
        },
    )
    for classes in CLASSES
)
