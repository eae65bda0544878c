"""The order of the tasks of stages: GPipe, 1F1B and a zero-bubble schedule for backprop, direct rules, and local rules.

A stage's forward pass of a microbatch takes f. The backward pass takes b_x (the error for the stage below) and b_w (the
gradients of its weights). An update takes u, and a message d.

References: Huang et al. 2019, "GPipe". Narayanan et al. 2019, "PipeDream" (1F1B, here in its synchronous form). Qi et al. 2023,
"Zero bubble pipeline parallelism" (ZB-H1: b_x before f before b_w, with as many saved activations as 1F1B).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from benchmarks.pipeline.simulation import Key, Span, Task, simulate

Order: TypeAlias = "list[tuple[str, int]]"
"""The tasks (kind, microbatch) of a stage in their order."""


class Cost(NamedTuple):
    """The seconds of one stage for one microbatch. The update u is once per step."""

    f: float
    bx: float
    bw: float
    u: float = 0.0


class Outcome(NamedTuple):
    """The result of a schedule."""

    step: float
    """Seconds from one step to the next, when all stages are full."""
    idle: float
    """The share of time in which a stage is idle, the mean over stages."""
    held: int
    """The largest number of microbatches whose activations one stage holds at once."""
    spans: Mapping[Key, Span]


def gpipe(stages: Sequence[Cost], microbatches: int, delay: float = 0.0) -> Outcome:
    """All forward passes, then all backward passes."""
    return _backprop(stages, delay, [_gpipe(microbatches) for _ in stages])


def one_forward_one_backward(stages: Sequence[Cost], microbatches: int, delay: float = 0.0) -> Outcome:
    """One backward pass after each forward pass. A stage holds as many microbatches as there are stages from it to the last."""
    return _backprop(stages, delay, [_one_by_one(len(stages) - s, microbatches) for s in range(len(stages))])


def zero_bubble(stages: Sequence[Cost], microbatches: int, delay: float = 0.0) -> Outcome:
    """1F1B in which stage s computes the gradients of its weights s microbatches later, at times at which it would be idle."""
    orders = [_one_by_one(len(stages) - s, microbatches, s) for s in range(len(stages))]
    return _backprop(stages, delay, orders)


def _gpipe(m: int) -> Order:
    return [("F", i) for i in range(m)] + [("B", i) for i in range(m)]


def _one_by_one(ahead: int, m: int, late: int | None = None) -> Order:
    first = min(ahead, m) - 1
    order = [("F", i) for i in range(first)]
    for i in range(m):
        order += [("F", i + first)] if i + first < m else []
        order += [("B", i)]
        order += [("W", i - late)] if late is not None and i >= late else []
    return order + [("W", i) for i in range(max(m - (late or m), 0), m) if late]


def _backprop(stages: Sequence[Cost], delay: float, orders: Sequence[Order]) -> Outcome:
    p, tasks, m = len(stages), {}, sum(kind == "F" for kind, _ in orders[0])
    split = any(kind == "W" for kind, _ in orders[0])
    for s, (cost, order) in enumerate(zip(stages, orders)):
        seconds = {"F": cost.f, "B": cost.bx if split else cost.bx + cost.bw, "W": cost.bw, "U": cost.u}
        for place, (kind, i) in enumerate([*order, ("U", 0)]):
            needs = {(s, *order[place - 1]): 0.0} if place else {}
            if kind == "F" and s:
                needs[s - 1, "F", i] = delay
            if kind == "B" and s < p - 1:
                needs[s + 1, "B", i] = delay
            tasks[s, kind, i] = Task(seconds[kind], needs, place)
    return _outcome(stages, simulate(tasks), m, "W" if split else "B")


def direct(stages: Sequence[Cost], microbatches: int, delay: float = 0.0) -> Outcome:
    """All forward passes, then the backward passes of all stages at once, from the last microbatch to the first, as autograd."""
    p, m, tasks = len(stages), microbatches, {}
    for s, cost in enumerate(stages):
        for i in range(m):
            tasks[s, "F", i] = Task(cost.f, {(s - 1, "F", i): delay} if s else {}, (0, i))
            e = {(p - 1, "F", i): delay if s < p - 1 else 0.0} | {(s, "F", m - 1): 0.0}
            if i < m - 1:
                e[s, "B", i + 1] = 0.0
            tasks[s, "B", i] = Task(cost.bw, e, (1, -i))
        tasks[s, "U", 0] = Task(cost.u, {(s, "B", 0): 0.0}, (2, 0))
    spans = simulate(tasks)
    return _outcome(stages, spans, m, "B")


def local(stages: Sequence[Cost], microbatches: int = 1, delay: float = 0.0, steps: int = 8) -> Outcome:
    """Each stage learns as soon as it has sent its output. No stage waits for a stage above.

    A step has one batch, so each of the ``microbatches`` is a batch with a step of its own.
    """
    p, tasks = len(stages), {}
    total = steps * microbatches + 2 * p
    for s, cost in enumerate(stages):
        for t in range(total):
            needs = {(s - 1, "F", t): delay} if s else {}
            if t:
                needs[s, "B", t - 1] = 0.0
            tasks[s, "F", t] = Task(cost.f, needs, (0, t))
            tasks[s, "B", t] = Task(cost.bw + cost.u, {(s, "F", t): 0.0}, (0, t))
    spans = simulate(tasks)
    first = 2 * p
    step = (spans[p - 1, "B", total - 1].end - spans[p - 1, "B", first - 1].end) / steps
    busy = [microbatches * (cost.f + cost.bw + cost.u) / step for cost in stages]
    return Outcome(step, 1 - sum(busy) / p, 1, spans)


def _outcome(stages: Sequence[Cost], spans: Mapping[Key, Span], microbatches: int, last: str) -> Outcome:
    step = max(span.end for span in spans.values())
    busy = sum(span.end - span.begin for span in spans.values())
    held = max(_held(spans, s, microbatches, last) for s in range(len(stages)))
    return Outcome(step, 1 - busy / (len(stages) * step), held, spans)


def _held(spans: Mapping[Key, Span], stage: int, microbatches: int, last: str) -> int:
    changes = [(spans[stage, "F", i].begin, 1) for i in range(microbatches)]
    changes += [(spans[stage, last, i].end, -1) for i in range(microbatches)]
    return max(accumulate(change for _, change in sorted(changes)))
