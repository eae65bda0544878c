"""The groups of steps that are timed together: a baseline, rules, and their hand-written steps (floors)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import lightning_fa as fa
from benchmarks.time.floors import FLOORS, floor
from benchmarks.time.nets import Case, Step, biotorch, criterion, mlp, resnet18, small_conv, stepper

BASE = "plain backprop"


class Group(NamedTuple):
    """Steps that take turns. Ratios are to ``baseline``."""

    title: str
    steps: Callable[[], Mapping[str, Step]]
    baseline: str
    aims: Mapping[str, float] = {}
    """{way: the ratio to reach}."""
    rounds: int = 25


def against_backprop(case: Case, rules: tuple[str, ...], floors: bool, compiled: bool = False) -> dict[str, Step]:
    """Plain backprop, every rule through the library, and its floor."""
    steps = {BASE: stepper(case, None, compiled=compiled)}
    for rule in rules:
        steps[rule] = stepper(case, rule, compiled=compiled)
        if floors and rule in FLOORS:
            steps[f"{rule}, by hand"] = floor(case, rule, compiled=compiled)[1]
        theirs = biotorch(case, rule) if floors and not compiled and rule in ("fa", "usf") else None
        if theirs is not None:
            steps[f"{rule}, BioTorch"] = theirs
    return steps


def settling(case: Case, rules: tuple[str, ...]) -> dict[str, Step]:
    """Steps with gradients in the forward pass, and steps whose graphs are kept."""
    return {
        f"{rule}{', graphs kept' * keep}": stepper(case, rule, keep=keep) for rule in rules for keep in (True, False)
    }


class Net(LightningModule):
    """A case as a LightningModule of a user."""

    def __init__(self, net: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.net, self.example_input_array = net, example

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return criterion(None, self.net(batch[0]), batch[1])

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-4)


def fit(case: Case, rule: str, batches: int) -> Step:
    """A function that runs ``Trainer.fit`` on `batches` batches."""
    net, x, y = case.build()
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options: Any = dict.fromkeys(off, False)

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = Trainer(max_epochs=1, accelerator="cpu", strategy=fa.FeedbackStrategy(rule), **options)
            trainer.fit(Net(net, x[:2]), DataLoader([(x, y)] * batches, batch_size=None))

    return run


def repeated(step: Step, times: int) -> Step:
    def run() -> None:
        for _ in range(times):
            step()

    return run


def trainers(case: Case, rules: tuple[str, ...], batches: int) -> dict[str, Step]:
    """``Trainer.fit``, including its start and end, and the bare loop of the same rule."""
    found = {}
    for rule in rules:
        found[f"{rule}, bare loop"] = repeated(stepper(case, rule), batches)
        found[f"{rule}, Trainer.fit"] = fit(case, rule, batches)
    return found


def groups(smoke: bool) -> list[Group]:
    """All groups of the table. With ``smoke`` their networks are as small as possible."""
    wide, deep, narrow = map(mlp, ("784-800x3-10", "784-512x20-10", "784-64x3-10"))
    # A block's graph holds 4 MiB, more than the gradients of the block and a predictor, so that it is not kept.
    large = mlp("784-512x20-10", 2048)
    conv, resnet = small_conv(32, 32), resnet18(32, 32)
    batches = 40
    if smoke:
        wide, deep, narrow = mlp("8-8x2-10", 8), mlp("8-8x3-10", 8), mlp("8-4x2-10", 8)
        conv, resnet, batches, large = small_conv(2, 8), resnet18(16, 2), 3, mlp("8-8x3-10", 8)
    against = partial(partial, against_backprop)
    deep_rules = ("bp", "dfa", "lafs", "drtp", "fa", "usf", "kp", "sg")
    found = [
        Group(wide.name, against(wide, ("bp", "dfa", "lafs"), True), BASE, {"dfa": 0.80}),
        Group(
            deep.name,
            against(deep, deep_rules, True),
            BASE,
            {"dfa": 0.74, "lafs": 0.76, "drtp": 0.76, "fa": 1.02, "usf": 1.06, "kp": 1.06, "sg": 1.72},
        ),
        Group(conv.name, against(conv, ("dfa", "lafs"), False), BASE, {"dfa": 1.0}),
        Group(resnet.name, against(resnet, ("dfa", "lafs"), False), BASE, {"dfa": 1.0}, 15),
        Group(
            f"{narrow.name}: Python's overhead",
            against(narrow, ("bp", "dfa", "lafs"), True),
            BASE,
            {"bp": 1.15, "dfa": 1.15, "lafs": 1.15},
            60,
        ),
        Group(
            f"{deep.name}, compiled",
            against(deep, ("dfa", "lafs"), True, compiled=True),
            BASE,
            {"dfa": 0.73, "lafs": 0.73},
        ),
    ]
    for rule in ("lafs", "drtp", "local", "sg"):
        kept = f"{rule}, graphs kept"
        title = f"{large.name}, batch {large.batch}: gradients in the forward pass"
        found.append(Group(title, partial(settling, large, (rule,)), kept, {rule: 1.05}, 7))
    for rule in ("dfa", "lafs"):
        base = f"{rule}, bare loop"
        of = partial(trainers, deep, (rule,), batches)
        found.append(Group(f"{deep.name}: Trainer.fit, {batches} batches", of, base, {f"{rule}, Trainer.fit": 1.05}, 5))
    return found
