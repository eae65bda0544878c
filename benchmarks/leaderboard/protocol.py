"""One training run, and the choice of a learning rate, the same for every rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import lightning_fa as fa
from benchmarks.leaderboard.task import Split, Splits, Task, loss, score

TUNING_SEED = 1000
"""The seed of the runs that choose the learning rate. No reported run has this seed."""
REFUSALS = (ValueError, TypeError, RuntimeError, NotImplementedError)
"""The errors that the library raises if a rule does not fit a network or a loss."""


class RefusedError(Exception):
    """The library refuses to train this network under this rule. The text is the library's."""


class Plain:
    """Replaces the attached rule in the row of backpropagation, which is PyTorch's own, without this library."""

    targets: Tensor | None = None

    def loss(self, loss: Tensor) -> Tensor:
        return loss

    def detach(self) -> None: ...


@dataclass
class Run:
    """A trained network with the rule still attached, and its scores after the last epoch or after the best on held-out data."""

    net: nn.Module
    attached: fa.Attached | Plain
    held: float
    test: float | None
    """``None`` in tuning runs, which do not read the test data."""

    @property
    def diverged(self) -> bool:
        return not math.isfinite(self.held)


def make(task: Task, rule: str, seed: int) -> fa.Rule:
    """The rule by its registry name, with the task's settings for this rule, and with the seed if the rule has one."""
    cls = fa.RULES[rule]
    seeded = {"seed": seed} if "seed" in cls.__dataclass_fields__ else {}  # type: ignore[attr-defined]
    return cls(**task.settings.get(rule, {}), **seeded)


def begin(task: Task, rule: str, seed: int, splits: Splits) -> tuple[nn.Module, fa.Attached | Plain]:
    """A new network with the rule attached. The network depends on the seed and not on the rule.

    Raises:
        RefusedError: The library refuses the rule.
    """
    torch.manual_seed(seed)
    net = task.build(splits)
    if rule == "bp":
        return net, Plain()
    try:
        attached = fa.attach(net, make(task, rule, seed), blocks=task.blocks, example=task.example(splits.train))
    except REFUSALS as error:
        raise RefusedError(str(error)) from error
    return net, attached


def step(task: Task, rule: str, net: nn.Module, attached: fa.Attached | Plain, batch: Split) -> float:
    """The forward and the backward pass; returns the loss."""
    attached.targets = batch.y
    value = attached.loss(loss(task, rule, net(batch.x), batch.y))
    value.backward()
    return value.item()


def train(task: Task, rule: str, rate: float, seed: int, splits: Splits, epochs: int, *, test: bool) -> Run:
    """One run. It ends early if the loss at the end of an epoch is not finite.

    Raises:
        RefusedError: The library refuses the rule, when it is attached or in the first step.
    """
    with torch.random.fork_rng():
        net, attached = begin(task, rule, seed, splits)
        optimizer = task.optimize(net, rate)
        torch.manual_seed(seed)  # so that dropout does not depend on the numbers that the rule has drawn
        best, first = Run(net, attached, math.nan, None), True
        for epoch in range(epochs):
            for batch in task.batches(splits.train, seed, epoch):
                optimizer.zero_grad()
                try:
                    value = step(task, rule, net, attached, batch)
                except REFUSALS as error:
                    if first:
                        raise RefusedError(str(error)) from error
                    raise
                optimizer.step()
                first = False
            if not math.isfinite(value):
                return Run(net, attached, math.nan, None)
            if task.stop == "best" or epoch == epochs - 1:
                held = score(task, net, splits.held)
                if task.stop == "last" or not best.held >= held:
                    best = Run(net, attached, held, score(task, net, splits.test) if test else None)
        return best


def better(task: Task, tried: dict[float, float]) -> float | None:
    """The rate with the best held-out score; ``None`` if every run has diverged."""
    finite = {rate: held for rate, held in tried.items() if math.isfinite(held)}
    if not finite:
        return None
    return (max if task.higher else min)(finite, key=lambda rate: finite[rate])
