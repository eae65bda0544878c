"""The ways of training one network on one or two processes, and the job of each process.

Lightning's ways use ``Trainer.fit``. GPipe and 1F1B are the bare loops of ``torch.distributed.pipelining``. A rank counts as idle
while its main thread uses no processor. Other load on the machine therefore appears as idle time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
import torch.nn.functional as F
from lightning.pytorch import Callback, Trainer
from torch import nn
from torch.utils.data import DataLoader

import lightning_fa as fa
from benchmarks.pipeline.nets import Net, Task

Way: TypeAlias = "tuple[int, Callable[..., dict[str, float]], tuple[Any, ...]]"
"""(number of processes, the job of each process, its arguments)."""
ONE = "lafs, one process"


def ways(task: Task) -> dict[str, Way]:
    """{name in the table: way}."""
    parts = (1, *task.microbatches)
    return {
        "backprop, one process": (1, by_lightning, ("auto",)),
        ONE: (1, by_lightning, ("lafs",)),
        "dfa, one process": (1, by_lightning, ("dfa",)),
        "lafs_pipeline": (2, by_lightning, ("lafs_pipeline",)),
        **{f"dfa_pipeline, {m} microbatches": (2, by_lightning, ("dfa_pipeline", m)) for m in parts},
        "backprop, DDP": (2, by_lightning, ("ddp",)),
        **{
            f"backprop, {name}, {m} microbatches": (2, by_torch, (name, m))
            for name in ("GPipe", "1F1B")
            for m in task.microbatches
        },
    }


class Clock(Callback):
    """Records wall time and processor time of the main thread after the warm-up, and the bytes that were sent up and down."""

    def __init__(self, task: Task) -> None:
        self.warm_up, self.steps = task.warm_up, task.steps
        self.found: dict[str, float] = {}
        self.sent = 0, 0

    def tick(self, done: int) -> None:
        if done == self.warm_up:
            self.start = time.perf_counter(), time.thread_time()
        if done == self.warm_up + self.steps:
            wall, busy = time.perf_counter() - self.start[0], time.thread_time() - self.start[1]
            self.found = {"seconds": wall / self.steps, "idle": max(0.0, 1 - busy / wall)}

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.tick(trainer.global_step)
        division = getattr(trainer.strategy, "_division", None)
        if division is not None:
            self.sent = division.channel.sent, 0 if division.errors is None else division.errors.sent


def by_lightning(task: Task, rank: int, strategy: str, microbatches: int = 1) -> dict[str, float]:
    warnings.simplefilter("ignore")
    world = 2 if strategy.endswith(("pipeline", "ddp")) else 1
    chosen: Any = fa.PipelineFeedbackStrategy("dfa", microbatches=microbatches) if microbatches > 1 else strategy
    clock, total, net = Clock(task), task.warm_up + task.steps, Net(task)
    # Each of the two ranks of DDP has half of the batch, so that a step has equally many samples in all ways.
    x, y = task.data()
    data = [(x[rank::world], y[rank::world]) if strategy == "ddp" else (x, y)] * total
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "use_distributed_sampler")
    options: Any = dict.fromkeys(off, False)
    Trainer(accelerator="cpu", devices=world, strategy=chosen, max_epochs=1, callbacks=[clock], **options).fit(
        net, DataLoader(data, batch_size=None)
    )
    up, down = (n / total for n in clock.sent)
    if strategy == "ddp":  # in a ring of two, each rank sends as many numbers as there are parameters
        up, down = 0.0, float(sum(p.numel() * 4 for p in net.parameters()))
    return {**clock.found, "up": up, "down": down}


def by_torch(task: Task, rank: int, name: str, microbatches: int) -> dict[str, float]:
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

    dist.init_process_group("gloo")
    clock, (x, y), parts = Clock(task), task.data(), [*task.net()]
    part = nn.Sequential(*(parts[: task.cut] if rank == 0 else parts[task.cut :]))
    stage = PipelineStage(part, rank, 2, torch.device("cpu"))
    schedule = {"GPipe": ScheduleGPipe, "1F1B": Schedule1F1B}[name](stage, microbatches, loss_fn=F.cross_entropy)
    optimizer = torch.optim.SGD(part.parameters(), lr=1e-3)
    for done in range(1, task.warm_up + task.steps + 1):
        optimizer.zero_grad()
        schedule.step(x) if rank == 0 else schedule.step(target=y, losses=[])
        optimizer.step()
        clock.tick(done)
    dist.barrier()
    message = 4.0 * task.batch * torch.Size(task.crosses).numel()
    up, down = (message, 0.0) if rank == 0 else (0.0, message)
    return {**clock.found, "up": up, "down": down}
