"""The generated part of docs/parallel.md, from results/pipeline.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.pipeline.figures import FOLDER, draw_idle, draw_schedules
from benchmarks.pipeline.prediction import many, overhead, predicted
from benchmarks.pipeline.ways import ONE
from replications.reporting.readme import rewrite

RESULTS = Path(__file__).parents[1] / "results" / "pipeline.json"
PAGE = Path(__file__).parents[2] / "docs" / "parallel.md"
BEGIN, END = "<!-- pipeline:begin -->", "<!-- pipeline:end -->"
RUN = "python -m benchmarks.pipeline"
NOTE = (
    "All numbers are medians over the rounds, in which the ways of training took turns, with one thread per process. Idle is "
    "the share of time in which a rank's main thread uses no processor, the mean over ranks. MB are the tensors sent in a step. "
    "Those of DDP (a ring) and of `torch.distributed.pipelining` (a batch of activations and of their errors) are counted by "
    "hand. Predicted is the time of the simulation on two stages divided by the measured time. The simulation uses the times of "
    "each stage, measured alone in one process. A value below 1 means that the schedule costs more than its passes and messages. "
    "GPipe and 1F1B are bare loops. All other ways use `Trainer.fit`."
)


def seconds(results: dict[str, Any], way: str) -> float | None:
    found = results["ways"].get(way, {}).get("seconds")
    return None if found is None else float(found)


def table(task: dict[str, Any]) -> str:
    """A row for each way of training."""
    one = seconds(task, ONE)
    head = "| | ms per step | throughput, LAFS in one process = 1 | idle | MB up | MB down | predicted |"
    lines = [head, "|---|---:|---:|---:|---:|---:|---:|"]
    for way, r in task["ways"].items():
        if "error" in r or one is None:
            lines.append(f"| {way} | failed | | | | | |")
            continue
        guess = predicted(task["costs"], way, overhead(task["costs"], one))
        cells = [f"{1e3 * r['seconds']:.1f}", f"{one / r['seconds']:.2f}", f"{100 * r['idle']:.0f} %"]
        cells += [f"{r[key] / 1e6:.3f}" for key in ("up", "down")]
        cells += ["" if guess is None else f"{guess / r['seconds']:.2f}"]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def idle_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The table of idle shares in the simulation."""
    stages = list(next(iter(next(iter(found.values())).values())))
    lines = [f"| idle, simulated | {' | '.join(f'{p} stages' for p in stages)} |", "|---|" + "---:|" * len(stages)]
    for text, by_schedule in found.items():
        for name, by_stages in by_schedule.items():
            lines.append(f"| {name}, {text} | {' | '.join(f'{100 * by_stages[p]:.0f} %' for p in stages)} |")
    return "\n".join(lines)


def render(results: dict[str, Any] | None) -> str:
    """The text between the markers."""
    if results is None:
        return f"Not measured yet: `{RUN}`."
    machine = results["machine"]
    parts = [
        f"`{RUN}`, {machine['device']}, torch {machine['torch']}, commit {machine['commit']}, {results['rounds']} rounds.",
        NOTE,
    ]
    for name, task in results["tasks"].items():
        parts += [f"**{name}**, batch {task['batch']}, {task['steps']} steps a round:", table(task)]
    first = next(iter(results["tasks"].values()))
    parts += [
        "The following numbers are simulated on more stages. Each stage is the mean of the two stages of the first network, and "
        "messages take as long as between the two processes. Every microbatch has the size of a batch in the first table, and "
        "`lafs` makes an update after each. The first figure has 4 stages and 4 microbatches. For `lafs` it also shows the "
        "batches that follow.",
        "![Schedules of four stages](figures/pipeline-schedules.svg)",
        "![Idle share over the number of stages](figures/pipeline-idle.svg)",
        idle_table(many(first["costs"])),
    ]
    return "\n\n".join(parts)


def update(*, check: bool) -> bool:
    """Whether the page was up to date. The page and its figures are written again unless ``check``."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else None
    if results is not None and not check:
        first = next(iter(results["tasks"].values()))["costs"]
        draw_schedules(first, FOLDER / "pipeline-schedules.svg")
        draw_idle(many(first), FOLDER / "pipeline-idle.svg")
    return rewrite(PAGE, BEGIN, END, render(results), check=check)
