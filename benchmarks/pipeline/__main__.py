"""Time per sample of pipelines on two processes: ``python -m benchmarks.pipeline [--smoke]``.

One thread each. Ways take turns, each in processes of its own; a way's time is the median of its rounds. Lightning's ways go
through ``Trainer.fit``; GPipe and 1F1B are the bare loops of ``torch.distributed.pipelining``. A rank idles while its main
thread uses no processor, so that a machine that does anything else reads as idle. ``--smoke`` looks whether it works, and
writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import lightning_fa as fa
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
INPUTS, OUTPUTS, BATCH, WARM_UP = 784, 10, 128, 5
MICROBATCHES = (2, 4, 8, 16)
WAYS: dict[str, tuple[int, Any]] = {
    "backprop, one process": (1, lambda: "auto"),
    "lafs, one process": (1, lambda: fa.FeedbackStrategy("lafs")),
    "dfa, one process": (1, lambda: fa.FeedbackStrategy("dfa")),
    "lafs_pipeline": (2, lambda: fa.PipelineFeedbackStrategy("lafs")),
    **{
        f"dfa_pipeline, {m} microbatches": (2, lambda m=m: fa.PipelineFeedbackStrategy("dfa", microbatches=m))
        for m in (1, *MICROBATCHES)
    },
    "backprop, DDP": (2, lambda: "ddp"),
    **{f"backprop, {name}, {m} microbatches": (2, (name, m)) for name in ("GPipe", "1F1B") for m in MICROBATCHES},
}


def build(width: int, depth: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [m for i, o in pairwise([INPUTS, *[width] * depth, OUTPUTS]) for m in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def batch() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, INPUTS, generator=rng), torch.randint(OUTPUTS, (BATCH,), generator=rng)


class Net(LightningModule):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.net = build(width, depth)
        self.example_input_array = torch.zeros(2, INPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Clock(Callback):
    """Wall and processor seconds of the main thread, from the end of the warm-up on; bytes that were sent up and down."""

    def __init__(self, steps: int) -> None:
        self.steps, self.found, self.sent = steps, {}, (0, 0)

    def tick(self, done: int) -> None:
        if done == WARM_UP:
            self.start = time.perf_counter(), time.thread_time()
        if done == WARM_UP + self.steps:
            wall, busy = time.perf_counter() - self.start[0], time.thread_time() - self.start[1]
            self.found = {"seconds": wall / self.steps, "idle": 1 - busy / wall}

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.tick(trainer.global_step)
        division = getattr(trainer.strategy, "_division", None)
        if division is not None:
            self.sent = division.channel.sent, 0 if division.errors is None else division.errors.sent


def by_lightning(strategy: Any, world: int, width: int, depth: int, steps: int, rank: int) -> dict[str, Any]:
    clock, total, net = Clock(steps), WARM_UP + steps, Net(width, depth)
    # Each of two ranks of DDP has half of the batch, so that all ways train on as many samples in a step.
    x, y = batch()
    data = [(x[rank::world], y[rank::world]) if strategy == "ddp" else (x, y)] * total
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "use_distributed_sampler")
    options: Any = dict.fromkeys(off, False)
    Trainer(accelerator="cpu", devices=world, strategy=strategy, max_epochs=1, callbacks=[clock], **options).fit(
        net, DataLoader(data, batch_size=None)
    )
    up, down = (n / total for n in clock.sent)
    if strategy == "ddp":
        up, down = (
            0.0,
            float(sum(p.numel() * 4 for p in net.parameters())),
        )  # a ring of two: each sends as many as there are
    return {**clock.found, "up": up, "down": down}


def by_torch(name: str, microbatches: int, width: int, depth: int, steps: int, rank: int) -> dict[str, Any]:
    from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

    dist.init_process_group("gloo")
    clock, layers = Clock(steps), [*build(width, depth)]
    cut = 2 * ((depth + 1) // 2)  # where the costs are equal, as where ours cuts
    part = nn.Sequential(*(layers[:cut] if rank == 0 else layers[cut:]))
    stage = PipelineStage(part, rank, 2, torch.device("cpu"))
    schedule = {"GPipe": ScheduleGPipe, "1F1B": Schedule1F1B}[name](stage, microbatches, loss_fn=F.cross_entropy)
    optimizer, (x, y) = torch.optim.SGD(part.parameters(), lr=0.01), batch()
    for done in range(1, WARM_UP + steps + 1):
        optimizer.zero_grad()
        schedule.step(x) if rank == 0 else schedule.step(target=y, losses=[])
        optimizer.step()
        clock.tick(done)
    dist.barrier()
    message = float(BATCH * width * 4)
    up, down = (message, 0.0) if rank == 0 else (0.0, message)
    return {**clock.found, "up": up, "down": down}


def process(rank: int, way: str, port: int, folder: str, width: int, depth: int, steps: int) -> None:
    """One rank, as torchrun would start it."""
    world, how = WAYS[way]
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if world > 1:
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        os.environ |= {k: str(v) for k, v in ranks.items()} | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if isinstance(how, tuple):
        found = by_torch(*how, width, depth, steps, rank)
    else:
        found = by_lightning(how(), world, width, depth, steps, rank)
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))


def once(way: str, width: int, depth: int, steps: int) -> list[dict[str, Any]]:
    """What every rank found."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        s.close()
        mp.spawn(process, (way, port, folder, width, depth, steps), nprocs=WAYS[way][0])
        return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(WAYS[way][0])]


def measure(width: int, depth: int, steps: int, rounds: int) -> dict[str, dict[str, float]]:
    found: dict[str, list[list[dict[str, Any]]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(once(way, width, depth, steps))
            print(way, [f"{r['seconds'] * 1e3:.2f} ms" for r in found[way][-1]], flush=True)
    return {
        way: {
            "microseconds_per_sample": statistics.median(max(r["seconds"] for r in run) for run in runs) / BATCH * 1e6,
            "idle": statistics.median(statistics.mean(r["idle"] for r in run) for run in runs),
            "up": sum(r["up"] for r in runs[0]),
            "down": sum(r["down"] for r in runs[0]),
        }
        for way, runs in found.items()
    }


def table(results: dict[str, dict[str, float]]) -> str:
    one = results["lafs, one process"]["microseconds_per_sample"]
    lines = [
        "| | µs per sample | throughput, lafs in one process = 1 | idle | MB up | MB down |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for way, r in results.items():
        time_, sent = r["microseconds_per_sample"], (f"{r[key] / 1e6:.3f}" for key in ("up", "down"))
        lines.append(f"| {way} | {time_:.1f} | {one / time_:.2f} | {r['idle']:.0%} | {' | '.join(sent)} |")
    return "\n".join(lines) + (
        "\n\nBytes of tensors in a step. Idle: the share of time in which a rank's main thread uses no processor, the mean over "
        "ranks. Those of DDP (a ring) and of `torch.distributed.pipelining` (a batch of activations, and of their errors) are "
        "counted by hand.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a small net and few steps; nothing is written")
    smoke = parser.parse_args().smoke
    width, depth, steps, rounds = (32, 8, 4, 1) if smoke else (1024, 8, 60, 5)
    results = measure(width, depth, steps, rounds)
    text = table(results)
    print(text)
    if smoke:
        return
    setting = {
        "net": f"{INPUTS}-{width}x{depth}-{OUTPUTS}",
        "batch": BATCH,
        "steps": steps,
        "rounds": rounds,
        "threads": 1,
    }
    written = {"machine": machine(), "setting": setting, "results": results}
    (RESULTS / "pipeline.json").write_text(json.dumps(written, indent=2) + "\n")
    title = f"# Pipelines on two processes\n\nGenerated by `python -m benchmarks.pipeline`. {setting['net']}, batch {BATCH}.\n\n"
    (RESULTS / "pipeline.md").write_text(title + text)


if __name__ == "__main__":
    main()
