"""Which blocks form a stage: contiguous runs of blocks, of equal cost or as the user names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from lightning_fa.wiring.blocks.choice import matches

Stages: TypeAlias = "Sequence[str | Sequence[str]] | None"
"""``None`` for equal costs, or the name patterns of every stage's blocks, from the input to the output."""


def divide(names: Sequence[str], costs: Sequence[float], count: int, named: Stages = None) -> list[int]:
    """The stage of every block, 0 at the input.

    Args:
        names: Names of the blocks, in the order of their calls.
        costs: Costs of the blocks.
        count: Number of stages.
        named: The user's choice.

    Raises:
        ValueError: There are fewer blocks than stages, or the user's stages do not name every block once, in this order.
        TypeError: The user's stages are not names.
    """
    if count > len(names):
        raise ValueError(
            f"A pipeline of {count} stages needs {count} blocks at least, but the network has {len(names)}: "
            f"{', '.join(names)}. Use `devices={len(names)}` or less, or name finer blocks with `blocks=`."
        )
    return _equal(costs, count) if named is None else _as_named(names, count, named)


def _equal(costs: Sequence[float], count: int) -> list[int]:
    # best[k][n]: the first n blocks in k stages, divided so that the most expensive stage is cheapest. The pair is the cost
    # of that stage, and the first block of the last stage.
    sums = [0.0]
    for cost in costs:
        sums.append(sums[-1] + cost)
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for k in range(1, count + 1):
        row: dict[int, tuple[float, int]] = {}
        for n in range(k, len(costs) - (count - k) + 1):
            starts = [start for start in best[-1] if start < n]
            row[n] = min((max(best[-1][start][0], sums[n] - sums[start]), start) for start in starts)
        best.append(row)
    stages, end = [0] * len(costs), len(costs)
    for k in range(count, 0, -1):
        start = best[k][end][1]
        stages[start:end] = [k - 1] * (end - start)
        end = start
    return stages


def _as_named(names: Sequence[str], count: int, named: Sequence[str | Sequence[str]]) -> list[int]:
    patterns = [] if isinstance(named, str) else [[s] if isinstance(s, str) else list(s) for s in named]
    if not patterns or not all(isinstance(pattern, str) for stage in patterns for pattern in stage):
        raise TypeError(
            f"Expected `stages` to be a list of names or of lists of name patterns, one for each stage, but got {named!r}. "
            f"The blocks are: {', '.join(names)}."
        )
    if len(patterns) != count:
        raise ValueError(
            f"`stages` names {len(patterns)} stages, but there are {count} devices. Name one stage for each."
        )
    found = [[i for i, stage in enumerate(patterns) if matches(name, stage)] for name in names]
    problems = [*_strange(names, patterns), *_not_once(names, found)]
    stages = [each[0] for each in found if each]
    if not problems:
        problems = [
            *_disorder(names, stages),
            *(f"stage {s} has no block" for s in sorted({*range(count)} - {*stages})),
        ]
    if problems:
        raise ValueError(
            "`stages` must name every block once, in the order in which `forward` calls them, so that each stage is a run of "
            f"blocks: {'; '.join(problems)}. The blocks are: {', '.join(names)}. The stages are: {patterns!r}."
        )
    return stages


def _strange(names: Sequence[str], patterns: Sequence[Sequence[str]]) -> list[str]:
    every = [pattern for stage in patterns for pattern in stage]
    return [f"{p!r} matches no block" for p in every if not any(matches(name, [p]) for name in names)]


def _not_once(names: Sequence[str], found: Sequence[Sequence[int]]) -> list[str]:
    return [
        f"{name} in {'stages ' + ' and '.join(map(str, stages)) if stages else 'none'}"
        for name, stages in zip(names, found)
        if len(stages) != 1
    ]


def _disorder(names: Sequence[str], stages: Sequence[int]) -> list[str]:
    pairs = zip(names, stages, names[1:], stages[1:])
    return [f"{b} (stage {t}) is called after {a} (stage {s})" for a, s, b, t in pairs if t < s]
