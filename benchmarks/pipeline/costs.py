"""The inputs of the simulation: the times of a stage, measured alone in one process, and of a message between two."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from benchmarks.pipeline.nets import Task

Costs = dict[str, float]


def repeat(task: Task, step: Callable[[], Any]) -> float:
    """The median of the seconds of a step."""
    for _ in range(task.warm_up):
        step()
    found = []
    for _ in range(max(task.steps // 2, 3)):
        begin = time.perf_counter()
        step()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def stage_costs(task: Task, rank: int, microbatches: int) -> Costs:
    """Seconds per microbatch: forward f and backward b of both stages, the update u, and steps of the whole network."""
    parts, (x, y) = [*task.net()], task.data()
    size = task.batch // microbatches
    x, y = x[:size], y[:size]
    stages = [nn.Sequential(*parts[: task.cut]), nn.Sequential(*parts[task.cut :])]
    found: Costs = {}
    for s, stage in enumerate(stages):
        h = torch.randn(size, *task.crosses, requires_grad=True) if s else x
        out: list[Tensor] = []

        def forward(stage: nn.Module = stage, h: Tensor = h) -> Tensor:
            return stage(h)

        def backward(stage: nn.Module = stage, h: Tensor = h, s: int = s) -> None:
            stage.zero_grad()
            out = stage(h)
            F.cross_entropy(out, y).backward() if s else out.backward(out.detach())

        found[f"f{s}"] = repeat(task, forward)
        found[f"b{s}"] = max(repeat(task, backward) - found[f"f{s}"], 0.0)
        optimizer = torch.optim.SGD(stage.parameters(), lr=0.0)
        found[f"u{s}"] = repeat(task, optimizer.step)
        del out
    for rule in ("lafs", "dfa"):
        found[rule] = repeat(task, stepper(task, rule, x, y))
    return found


def stepper(task: Task, rule: str, x: Tensor, y: Tensor) -> Callable[[], None]:
    """A function that runs the forward and backward pass of the whole network, without an update."""
    net = task.net()
    attached = fa.attach(net, rule, example=x[:2])

    def step() -> None:
        net.zero_grad()
        attached.targets = y
        attached.loss(F.cross_entropy(net(x), y)).backward()

    return step


def message(task: Task, rank: int) -> Costs:
    """The seconds of a message, as half of a round trip."""
    dist.init_process_group("gloo")
    tensor = torch.zeros(task.batch, *task.crosses)

    def there_and_back() -> None:
        if rank == 0:
            dist.send(tensor, 1)
            dist.recv(tensor, 1)
        else:
            dist.recv(tensor, 0)
            dist.send(tensor, 0)

    return {"delay": repeat(task, there_and_back) / 2}
