"""The generated part of docs/leaderboard.md, from the rows on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning_fa as fa
from benchmarks.leaderboard.figure import draw, readouts
from benchmarks.leaderboard.published import PUBLISHED, SOLO
from benchmarks.leaderboard.row import RESULTS
from benchmarks.leaderboard.table import (
    CONTROLS,
    READOUTS,
    RUN,
    Rows,
    compared,
    facts,
    further,
    order,
    overview,
    perplexity,
    shown,
    table,
)
from benchmarks.leaderboard.task import Task
from benchmarks.leaderboard.tasks import TASKS
from replications.reporting.readme import rewrite

PAGE = Path(__file__).parents[2] / "docs" / "leaderboard.md"
BEGIN, END = "<!-- leaderboard:begin -->", "<!-- leaderboard:end -->"


def read(task: str, preset: str, results: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """{rule: row} of a task. If the task names another task for its controls, the controls are from there."""
    files = {file.stem: file for file in sorted((results / preset / task).glob("*.json"))}
    if files and TASKS[task].controls:
        files |= {rule: results / preset / TASKS[task].controls / f"{rule}.json" for rule in CONTROLS}
    return {rule: json.loads(file.read_text(encoding="utf-8")) for rule, file in files.items() if file.exists()}


def figure_of(task: str, preset: str) -> str:
    return f"figures/leaderboard-{task}-{preset}.svg"


def readouts_of(task: str, preset: str) -> str:
    return f"figures/leaderboard-{task}-readouts-{preset}.svg"


def render(results: Path = RESULTS) -> str:
    """The generated part of the page, with all tasks, including those that were not run."""
    sections = [_section(task, results) for task in TASKS.values()]
    return "\n\n".join([*_overview(results), *sections])


def _overview(results: Path) -> list[str]:
    read_all = {name: (task, read(name, "quick", results)) for name, task in TASKS.items()}
    ran = {name: pair for name, pair in read_all.items() if shown(pair[1])}
    told = (
        'Recovery on every task in `quick`: 0 is the frozen control, 1 is backpropagation. An empty cell was not run. "no" means '
        'that the library refuses the rule, "?" that backpropagation cannot be distinguished from the control, and "-" that '
        "there is nothing to recover. The intervals are in the sections of the tasks."
    )
    return ["## All tasks", told, overview(ran)] if ran else []


def _section(task: Task, results: Path) -> str:
    parts = [f"## {task.title}"]
    if task.notes:
        parts.append(task.notes)
    published = PUBLISHED.get(task.name)
    if published:
        said = ", ".join(f"`{rule}` {value:.2f}" for rule, value in published.values.items())
        parts.append(f"Published ({published.source}): {said}. {published.difference}")
    for preset in ("full", "quick"):
        rows = read(task.name, preset, results)
        if not shown(rows):
            parts.append(f"`{preset}` was not run: `{RUN} {task.name} --preset {preset}`")
            continue
        parts.append("\n".join(f"- {fact}" for fact in facts(task, preset, rows)))
        same = published is not None and preset == "full"
        parts.append(table(task, rows, published=same))
        if order(task, list(fa.RULES), rows):
            parts.append(f"![recovery by rule]({figure_of(task.name, preset)})")
        if compared(task, rows):
            parts += [f"![perplexity by readout]({readouts_of(task.name, preset)})", _readouts(rows)]
    return "\n\n".join(parts)


def _readouts(rows: Rows) -> str:
    """The caption of the figure. Intervals are exponentials of Student's limits, and therefore not symmetric."""
    found = {rule: perplexity(rows[rule]) for rule in READOUTS}
    ours = ", ".join(f"{READOUTS[rule]} {x.value:.2f} [{x.low:.2f}, {x.high:.2f}]" for rule, x in found.items())
    theirs = ", ".join(f"{READOUTS[rule]} {value:.1f}" for rule, value in SOLO.values.items())
    pairs = {
        f"`{a}` - `{b}`": further(rows[a], rows[b]) for a, b in (("local", "solo"), ("lafs", "local"), ("lafs", "solo"))
    }
    told = ", ".join(f"{pair} {x.value:.2f} [{x.low:.2f}, {x.high:.2f}]" for pair, x in pairs.items())
    return (
        f"Perplexity: {ours}. Differences of cross-entropy between runs of equal seed: {told}. "
        f"Published ({SOLO.source}): {theirs}. {SOLO.difference}"
    )


def update(*, check: bool) -> bool:
    """Whether the page was up to date. The page and its figures are written again unless ``check``."""
    if not check:
        for task in TASKS.values():
            for preset in ("full", "quick"):
                rows = read(task.name, preset)
                if shown(rows) and order(task, list(fa.RULES), rows):
                    draw(task, preset, rows, PAGE.parent / figure_of(task.name, preset))
                if compared(task, rows):
                    readouts(task, preset, rows, PAGE.parent / readouts_of(task.name, preset))
    return rewrite(PAGE, BEGIN, END, render(), check=check)
