"""Pipelines measured on two processes, and simulated on more: ``python -m benchmarks.pipeline [--smoke | --page]``.

The ways of training take turns, each in processes of its own. ``--smoke`` only shows that the code works, and writes nothing.
``--page`` writes docs/parallel.md from the last measurement.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from benchmarks.machine import machine
from benchmarks.pipeline.costs import message, stage_costs
from benchmarks.pipeline.nets import SMOKE, TASKS, Task
from benchmarks.pipeline.page import RESULTS, render, update
from benchmarks.pipeline.ways import ways
from benchmarks.processes import PROCESSES, launch

ROUNDS = 3


def once(name: str, task: Task) -> list[dict[str, float]] | str:
    """The numbers of every rank, or the text of the error."""
    world, job, arguments = ways(task)[name]
    try:
        found = launch(job, world, task, *arguments)
    except RuntimeError as error:
        print(f"{task.name}, {name}: {error}", file=sys.stderr, flush=True)
        return str(error)
    print(f"{task.name}, {name}:", *(f"{1e3 * r['seconds']:.2f} ms" for r in found), flush=True)
    return found


def costs(task: Task) -> dict[str, Any]:
    found = {str(m): launch(stage_costs, 1, task, m)[0] for m in (1, *task.microbatches)}
    return {"delay": launch(message, 2, task)[0]["delay"], **found}


def median(runs: list[Any]) -> Any:
    """The median of numbers in mappings that are nested in the same way."""
    if isinstance(runs[0], dict):
        return {key: median([run[key] for run in runs]) for key in runs[0]}
    return statistics.median(runs)


def of_ranks(found: list[dict[str, float]]) -> dict[str, float]:
    """The time of the slowest rank, the mean of the idle shares, and the sum of the bytes."""
    return {
        "seconds": max(r["seconds"] for r in found),
        "idle": statistics.mean(r["idle"] for r in found),
        "up": sum(r["up"] for r in found),
        "down": sum(r["down"] for r in found),
    }


def measure(task: Task, rounds: int) -> dict[str, Any]:
    found: dict[str, list[Any]] = {name: [] for name in ways(task)}
    prices: dict[str, Any] = {}
    for number in range(rounds):
        for name, runs in found.items():
            if not runs or not isinstance(runs[0], str):  # a way that has failed is not tried again
                runs.append(once(name, task))
        if number == rounds // 2:  # in the middle of the rounds, because the speed of the machine may drift
            prices = costs(task)
    summary = {}
    for name, runs in found.items():
        good = [of_ranks(run) for run in runs if not isinstance(run, str)]
        summary[name] = median(good) if good else {"error": runs[0]}
    setting = {"batch": task.batch, "steps": task.steps, "microbatches": task.microbatches}
    return {**setting, "ways": summary, "costs": prices}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small networks and few steps; nothing is written")
    parser.add_argument("--page", action="store_true", help="measure nothing; write the page and its figures")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if options.page:
        update(check=False)
        return 0
    PROCESSES.set_forkserver_preload(["benchmarks.pipeline.ways", "benchmarks.pipeline.costs"])
    rounds = 1 if options.smoke else options.rounds
    measured = {task.name: measure(task, rounds) for task in (SMOKE if options.smoke else TASKS)}
    results = {"machine": machine(), "rounds": rounds, "tasks": measured}
    print(render(results))
    if not options.smoke:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        update(check=False)
    return int(any("error" in r for task in measured.values() for r in task["ways"].values()))


if __name__ == "__main__":
    sys.exit(main())
