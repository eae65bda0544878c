"""A discrete-event simulation. Stages do one task at a time, and tasks wait for tasks of other stages."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

Key: TypeAlias = "tuple[int, str, int]"
"""(stage, kind, number of the batch or microbatch)."""


class Task(NamedTuple):
    """One task of a stage."""

    seconds: float
    needs: Mapping[Key, float]
    """{task to wait for: seconds to wait after its end}."""
    rank: Any
    """The priority. Of several tasks that could begin, a stage takes the task with the lowest rank."""


class Span(NamedTuple):
    """The times at which a task begins and ends."""

    begin: float
    end: float


def simulate(tasks: Mapping[Key, Task]) -> dict[Key, Span]:
    """The span of each task. An idle stage always begins a task if one of its tasks can begin.

    Raises:
        ValueError: Tasks wait for one another.
    """
    missing = {key: len(task.needs) for key, task in tasks.items()}
    due = dict.fromkeys(tasks, 0.0)
    after: dict[Key, list[Key]] = defaultdict(list)
    for key, task in tasks.items():
        for need in task.needs:
            after[need].append(key)
    events = [(0.0, False, key) for key, count in missing.items() if not count]  # (time, whether it ends, task)
    heapq.heapify(events)
    ready: dict[int, list[tuple[Any, Key]]] = defaultdict(list)
    busy: set[int] = set()
    spans: dict[Key, Span] = {}
    while events:
        now, touched = events[0][0], set()
        while events and events[0][0] == now:  # all events of this time, before any task begins
            _, ends, key = heapq.heappop(events)
            touched.add(key[0])
            if not ends:
                heapq.heappush(ready[key[0]], (tasks[key].rank, key))
                continue
            busy.discard(key[0])
            for waiting in after[key]:
                missing[waiting] -= 1
                due[waiting] = max(due[waiting], now + tasks[waiting].needs[key])
                if not missing[waiting]:
                    heapq.heappush(events, (due[waiting], False, waiting))
        for stage in touched - busy:
            if ready[stage]:
                _, key = heapq.heappop(ready[stage])
                spans[key] = Span(now, now + tasks[key].seconds)
                heapq.heappush(events, (spans[key].end, True, key))
                busy.add(stage)
    if len(spans) < len(tasks):
        raise ValueError(f"{len(tasks) - len(spans)} tasks wait for one another.")
    return spans
