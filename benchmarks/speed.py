"""Time and floating-point operations of a training step under each rule, as ratios to plain backpropagation.

    python -m benchmarks.speed [--rules bp fa dfa] [--nets 784-800x3-10 ...] [--compile] [--device cuda] [--out FILE]

A step is the forward pass, the backward pass and SGD at batch 128, under cross-entropy (under kickback the squared error, because
its signal is zero under softmax). The rules take turns, so that a busy machine slows all rules alike. The ratio is that of the
medians, and its spread is over the rounds. `python -m benchmarks` compares fewer rules, and also hand-written loops.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import lightning_fa as fa
from benchmarks.machine import machine
from benchmarks.time.nets import criterion, mlp

NETS = ("784-800x3-10", "3072-1024x4-10", "784-512x20-10", "784-512x50-10")
BATCH = 128


def stepper(spec: str, rule: str | None, device: str, compiled: bool) -> tuple[Callable[[], None], float]:
    """A function that makes one training step, and the floating-point operations of a step."""
    torch.manual_seed(0)
    net, x, y = (part.to(device) for part in mlp(spec, BATCH).build())
    attached = fa.attach(net, rule, example=x[:2]) if rule else None
    optimizer = torch.optim.SGD(
        net.parameters(), lr=1e-4
    )  # after attach(), which adds learned feedback to the parameters
    model = torch.compile(net, fullgraph=True) if compiled else net

    def step(forward: Callable[[torch.Tensor], torch.Tensor] = model) -> None:
        optimizer.zero_grad()
        if attached:
            attached.targets = y
        loss = criterion(rule, forward(x), y)
        (attached.loss(loss) if attached else loss).backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step(net)
    return step, counter.get_total_flops()


def measure(spec: str, rules: list[str], device: str, compiled: bool, rounds: int) -> dict[str, dict[str, float]]:
    """{rule: ratio of the times, its spread over rounds, ratio of the operations, milliseconds}."""
    steppers = {name: stepper(spec, name, device, compiled) for name in rules}
    steppers["plain"] = stepper(spec, None, device, compiled)
    times: dict[str, list[float]] = {name: [] for name in steppers}
    for round_ in range(rounds + 2):
        for name, (step, _) in steppers.items():
            if device == "cuda":
                torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(3):
                step()
            if device == "cuda":
                torch.cuda.synchronize()
            if round_ >= 2:  # the first rounds warm up
                times[name].append((time.perf_counter() - begin) / 3)
    plain = statistics.median(times["plain"])
    table = {}
    for name, (_, flops) in steppers.items():
        ratios = sorted(mine / theirs for mine, theirs in zip(times[name], times["plain"]))
        table[name] = {
            "time": statistics.median(times[name]) / plain,
            "low": ratios[len(ratios) // 10],
            "high": ratios[-1 - len(ratios) // 10],
            "flops": flops / steppers["plain"][1],
            "milliseconds": 1000 * statistics.median(times[name]),
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", nargs="+", default=sorted(fa.RULES))
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {}
    for spec in options.nets:
        results[spec] = measure(spec, options.rules, options.device, options.compile, options.rounds)
        for name, row in results[spec].items():
            print(
                f"{spec:16} {name:10} time {row['time']:.2f} ({row['low']:.2f}-{row['high']:.2f})  "
                f"operations {row['flops']:.3f}  {row['milliseconds']:.1f} ms",
                flush=True,
            )
    if options.out:
        content = {"machine": machine(options.device), "compiled": options.compile, "batch": BATCH, "nets": results}
        options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
