"""Simulates two stages, for comparison with the measurement, and more stages, from measured costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.pipeline import schedules
from benchmarks.pipeline.schedules import Cost, Outcome

STAGES = (2, 4, 8, 16, 32, 64)
BACKPROP = {"GPipe": schedules.gpipe, "1F1B": schedules.one_forward_one_backward}
SCHEDULES: dict[str, Callable[..., Outcome]] = {
    **BACKPROP,
    "zero-bubble": schedules.zero_bubble,
    "dfa": schedules.direct,
    "lafs": schedules.local,
}

Costs = Mapping[str, Any]
"""``{"delay": seconds of the message of a batch, number of microbatches: result of ``stage_costs``}``."""


def two(costs: Costs, microbatches: int, rule: str | None, overhead: float = 0.0) -> list[Cost]:
    """The costs of both stages. Under a rule each stage's share of the learning time is its share of the forward passes.

    Args:
        costs: The measured costs.
        microbatches: The number of parts of a batch.
        rule: ``lafs``, ``dfa``, or ``None`` for backprop.
        overhead: Seconds per step that each process spends in the Trainer.
    """
    found = costs[str(microbatches)]
    f, b, u = ([found[f"{letter}{s}"] for s in range(2)] for letter in "fbu")
    if rule is None:
        return [Cost(f[s], 0.0, b[s], u[s]) for s in range(2)]
    learn = max(found[rule] - sum(f), 0.0)
    return [Cost(f[s], 0.0, learn * f[s] / sum(f), u[s] + overhead) for s in range(2)]


def overhead(costs: Costs, one_process: float) -> float:
    """The seconds per step that ``Trainer.fit`` adds to the network's, from the measurement of LAFS in one process."""
    found = costs["1"]
    return max(one_process - found["lafs"] - found["u0"] - found["u1"], 0.0)


def predicted(costs: Costs, way: str, trainer: float) -> float | None:
    """The seconds of a step on two ranks; ``None`` for ways that are not pipelines."""
    delay = costs["delay"]
    if way == "lafs_pipeline":
        return schedules.local(two(costs, 1, "lafs", trainer), 1, delay).step
    parts = int(way.split(", ")[-1].split()[0]) if way.endswith("microbatches") else 1
    if way.startswith("dfa_pipeline"):
        return schedules.direct(two(costs, parts, "dfa", trainer), parts, delay / parts).step
    for name, schedule in BACKPROP.items():
        if f" {name}," in way:
            return schedule(two(costs, parts, None), parts, delay / parts).step
    return None


def typical(costs: Costs) -> Cost:
    """The cost of every stage in the simulation of many stages: the mean of the two stages, in backprop's parts."""
    found = costs["1"]
    f, b, u = (sum(found[f"{letter}{s}"] for s in range(2)) / 2 for letter in "fbu")
    bw = min(max((found["dfa"] / 2 - f), 0.0), b)
    return Cost(f, b - bw, bw, u)


def many(costs: Costs) -> dict[str, dict[str, dict[str, float]]]:
    """{text on microbatches: {schedule: {stages: idle share}}}. A microbatch has the size of a measured batch here."""
    cost, delay = typical(costs), costs["delay"]
    return {
        text: {
            name: {str(p): schedule([cost] * p, count(p), delay).idle for p in STAGES}
            for name, schedule in SCHEDULES.items()
        }
        for text, count in {"16 microbatches": lambda p: 16, "4 microbatches a stage": lambda p: 4 * p}.items()
    }
