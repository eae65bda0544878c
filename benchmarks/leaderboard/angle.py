"""The angle between a rule's gradients and backpropagation's, at the end of training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import lightning_fa as fa
from benchmarks.leaderboard.protocol import Plain, step
from benchmarks.leaderboard.task import Split, Splits, Task
from lightning_fa.metrics import angles

SAMPLES = 1000


def to_backprop(
    task: Task, rule: str, net: nn.Module, attached: fa.Attached | Plain, splits: Splits
) -> dict[str, float]:
    """{weight matrix below the head: angle in degrees}, on the first training samples. Detaches the rule.

    Matrices without a gradient, or with a zero gradient, are left out.
    """
    net.eval()
    size = len(splits.train.x) if task.batch is None else SAMPLES
    batch = Split(splits.train.x[:size], splits.train.y[:size])
    names = [n for n, p in net.named_parameters() if p.ndim >= 2 and "_feedback" not in n]
    below = [n for n in names if not n.startswith(task.head)]
    mine = _gradients(task, rule, net, attached, batch, below)
    attached.detach()
    true = _gradients(task, rule, net, Plain(), batch, below)
    return {n: angles(mine[n], true[n]).item() for n in mine if n in true and mine[n].any() and true[n].any()}


def _gradients(
    task: Task, rule: str, net: nn.Module, attached: fa.Attached | Plain, batch: Split, names: list[str]
) -> dict[str, Tensor]:
    net.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        step(task, rule, net, attached, batch)
    found = {n: net.get_parameter(n).grad for n in names}
    return {n: g.flatten()[None] for n, g in found.items() if g is not None}
