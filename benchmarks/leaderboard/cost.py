"""The cost of a training step relative to backpropagation in the same process: time, operations, saved bytes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import lightning_fa as fa
from benchmarks.leaderboard.protocol import Plain, begin, step
from benchmarks.leaderboard.task import Split, Splits, Task, loss

ROUNDS = 20


def measure(task: Task, rule: str, rate: float, splits: Splits) -> dict[str, float]:
    """Ratios to backpropagation. The rule and backpropagation take turns, so that a busy machine slows both alike."""
    batch = next(task.batches(splits.train, 0, 0))
    pair = {name: begin(task, name, 0, splits) for name in dict.fromkeys((rule, "bp"))}
    steps = {name: _stepper(task, name, *made, rate, batch) for name, made in pair.items()}
    counted = {name: float(_operations(run)) for name, run in steps.items()}
    saved = {name: float(saved_bytes(task, name, *made, batch)) for name, made in pair.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    ratio = {
        "time": statistics.median(times[rule]) / statistics.median(times["bp"]),
        "flops": counted[rule] / counted["bp"],
        "saved": saved[rule] / saved["bp"],
    }
    return {**ratio, "milliseconds": 1000 * statistics.median(times[rule])}


def _stepper(
    task: Task, rule: str, net: nn.Module, attached: fa.Attached | Plain, rate: float, batch: Split
) -> Callable[[], None]:
    optimizer = task.optimize(net, rate)

    def run() -> None:
        optimizer.zero_grad()
        step(task, rule, net, attached, batch)
        optimizer.step()

    return run


def _operations(run: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def saved_bytes(task: Task, rule: str, net: nn.Module, attached: fa.Attached | Plain, batch: Split) -> int:
    """The bytes that the graph of the loss keeps for backward, without parameters and feedback. Each storage counts once.

    The graph is traversed, because ``saved_tensors_hooks`` do not see tensors that the library saves under its own hooks.
    """
    attached.targets = batch.y
    value = attached.loss(loss(task, rule, net(batch.x), batch.y))
    kept = {p.untyped_storage().data_ptr() for p in (*net.parameters(), *net.buffers())}
    found = {}
    for tensor in _saved(value.grad_fn):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in kept:
            found[storage.data_ptr()] = storage.nbytes()
    value.backward()
    net.zero_grad()
    return sum(found.values())


def _saved(root: Any) -> Iterator[Tensor]:
    seen, open_nodes = set(), [root]
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        open_nodes += [below for below, _ in node.next_functions]
        held = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
        held += list(getattr(node, "saved_tensors", ()))
        for item in held:
            yield from (t for t in (item if isinstance(item, (tuple, list)) else [item]) if isinstance(t, Tensor))
