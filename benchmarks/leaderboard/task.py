"""A task of the leaderboard: data, a network, a loss, a score, and the budget of each preset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100
"""The class of a node or position that is not scored (the default ``ignore_index`` of PyTorch)."""


class Split(NamedTuple):
    """Inputs and targets. The first dimension is samples."""

    x: Tensor
    y: Tensor


class Splits(NamedTuple):
    """The data of a task. The held-out part chooses the learning rate. The test part is read once per reported run."""

    train: Split
    held: Split
    test: Split
    label: str
    """The name of the data to print. It says if other data stand in."""
    edges: Tensor | None = None
    """The edges of a graph, which are part of the network."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The budget: samples (``None`` means all), epochs, seeds, and the rates and epochs for the choice of the learning rate."""

    samples: int | None
    epochs: int
    tuning_epochs: int
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    seeds: int = 5


@dataclass(frozen=True, kw_only=True)
class Task:
    """One column of the leaderboard. Only ``settings`` may differ between rules, such as the loss of a local rule."""

    name: str
    title: str
    data: Callable[[Preset, Path | None], Splits]
    build: Callable[[Splits], nn.Module]
    """Builds the network with PyTorch's default initialisation. The caller sets the seed."""
    kind: Literal["classes", "values"]
    presets: Mapping[str, Preset]
    head: str
    """The name of the module whose gradient is true under every rule. Its angle is not measured."""
    batch: int | None = 128
    """``None`` means all samples at once, as for a graph."""
    optimizer: Literal["Adam", "AdamW"] = "AdamW"
    decay: float = 0.01
    stop: Literal["last", "best"] = "last"
    """``best`` means the scores of the epoch that is best on held-out data, in tuning runs too."""
    blocks: str | Sequence[str] | None = None
    controls: str = ""
    """The task whose rows of backpropagation and the frozen control this task shares. Only the blocks of the two tasks differ."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """{rule: its settings}, for rules whose defaults are for another kind of targets."""
    readouts: bool = False
    """Whether the page compares the readouts of local rules in a figure. Runs then keep their test cross-entropy."""
    notes: str = ""

    @property
    def higher(self) -> bool:
        """Whether a larger score is better."""
        return self.kind == "classes"

    @property
    def unit(self) -> str:
        return "accuracy, %" if self.higher else "mean squared error, x 1e-2"

    def optimize(self, net: nn.Module, rate: float) -> torch.optim.Optimizer:
        learned = [p for p in net.parameters() if p.requires_grad]
        return getattr(torch.optim, self.optimizer)(learned, lr=rate, weight_decay=self.decay)

    def batches(self, split: Split, seed: int, epoch: int) -> Iterator[Split]:
        """The batches of one epoch, in an order fixed by (seed, epoch)."""
        if self.batch is None:
            yield split
            return
        order = torch.randperm(len(split.x), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        for chosen in order.split(self.batch):
            yield Split(split.x[chosen], split.y[chosen])

    def example(self, split: Split) -> Tensor:
        return split.x if self.batch is None else split.x[:2]


def loss(task: Task, rule: str, output: Tensor, y: Tensor) -> Tensor:
    """Mean squared error or cross-entropy. Kickback has a logistic loss per class, because its signal is zero under softmax."""
    if task.kind == "values":
        return F.mse_loss(output, y)
    output, y = output.flatten(0, -2), y.flatten()
    if rule == "kickback":
        seen = y != IGNORED
        wanted = F.one_hot(y[seen], output.shape[-1]).float()
        return F.binary_cross_entropy_with_logits(output[seen], wanted, reduction="sum") / len(wanted)
    return F.cross_entropy(output, y, ignore_index=IGNORED)


@torch.no_grad()
def score(task: Task, net: nn.Module, split: Split) -> float:
    """The accuracy in percent over targets that are not IGNORED, or 100 times the mean squared error."""
    was = net.training
    net.eval()
    size = len(split.x) if task.batch is None else 1000
    good, count = 0.0, 0
    for x, y in zip(split.x.split(size), split.y.split(size)):
        output = net(x)
        if task.kind == "values":
            good, count = good + F.mse_loss(output, y, reduction="sum").item(), count + y.numel()
        else:
            good, count = good + (output.argmax(-1) == y).sum().item(), count + int((y != IGNORED).sum())
    net.train(was)
    return 100 * good / count


@torch.no_grad()
def cross_entropy(net: nn.Module, split: Split) -> float:
    """The mean cross-entropy in nats over targets that are not IGNORED. Its exponential is the perplexity."""
    was = net.training
    net.eval()
    total, count = 0.0, 0
    for x, y in zip(split.x.split(1000), split.y.split(1000)):
        total += F.cross_entropy(net(x).flatten(0, -2), y.flatten(), ignore_index=IGNORED, reduction="sum").item()
        count += int((y != IGNORED).sum())
    net.train(was)
    return total / count
