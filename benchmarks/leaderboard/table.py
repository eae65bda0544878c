"""The tables of the page, from the rows on disk."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import lightning_fa as fa
from benchmarks.leaderboard.interval import Interval, of_mean, recovery
from benchmarks.leaderboard.published import PUBLISHED
from benchmarks.leaderboard.task import Task

Rows = Mapping[str, Mapping[str, Any]]
"""{rule: its row} of one task and preset."""
CONTROLS = ("bp", "shallow")
READOUTS = {
    "bp": "backpropagation",
    "solo": "the head's, shared",
    "local": "learned, per block",
    "lafs": "random, per block",
    "shallow": "frozen",
}
"""{rule: the readout of its blocks}. Backpropagation and the frozen control are the ends of the scale."""
RUN = "python -m benchmarks.leaderboard run"
SHOWN = 3
"""The least number of seeds of a row that is shown."""


def scores(row: Mapping[str, Any]) -> list[float]:
    return [found["test"] for _, found in sorted(row["runs"].items(), key=lambda item: int(item[0]))]


def shown(rows: Rows) -> bool:
    """Whether both controls are finished, which the other rows need."""
    return all(rule in rows and rows[rule]["status"] == "finished" for rule in CONTROLS)


def outdone(task: Task, rows: Rows) -> bool:
    """Whether the frozen control is at least as good as backpropagation, so that there is nothing to recover."""
    backprop, frozen = (statistics.mean(scores(rows[name])) for name in CONTROLS)
    return frozen >= backprop if task.higher else frozen <= backprop


def recovered(task: Task, rule: str, rows: Rows) -> Interval | None:
    """The row's recovery; ``None`` for the controls, for unfinished rows, and if there is nothing to recover."""
    if rule in CONTROLS or not shown(rows) or rows[rule]["status"] != "finished" or outdone(task, rows):
        return None
    return recovery(*[scores(rows[name]) for name in (rule, *CONTROLS)])


def perplexity(row: Mapping[str, Any]) -> Interval:
    """Student's interval of the mean cross-entropy, converted to perplexities."""
    found = of_mean([run["cross_entropy"] for run in row["runs"].values()])
    return Interval(*map(math.exp, found))


def further(row: Mapping[str, Any], than: Mapping[str, Any]) -> Interval:
    """The cross-entropy of a row minus that of another, over runs that are paired by their seeds."""
    pairs = [(run["cross_entropy"], than["runs"][seed]["cross_entropy"]) for seed, run in row["runs"].items()]
    return of_mean([mine - theirs for mine, theirs in pairs])


def compared(task: Task, rows: Rows) -> bool:
    """Whether all rows of the comparison of readouts are finished."""
    return task.readouts and all(rule in rows and rows[rule]["status"] == "finished" for rule in READOUTS)


def table(task: Task, rows: Rows, *, published: bool = False) -> str:
    """A table with a line for every registered rule: measured, failed with its reason, or not run.

    ``published`` says whether the setting is that of the published numbers, which then have a column.
    """
    head = ["rule", task.unit, "recovery", "angle", "time", "FLOPs", "saved", "rate", *["published"] * published]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for rule in fa.RULES:
        cells = _cells(task, rule, rows) if rule in rows else ["not run", *[""] * 6]
        if published:
            cells.append(_published(task, rule))
        lines.append(f"| `{rule}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def overview(tasks: Mapping[str, tuple[Task, Rows]]) -> str:
    """A table of recoveries without intervals: every rule on every task that was run."""
    lines = [f"| rule | {' | '.join(tasks)} |", "|---" * (1 + len(tasks)) + "|"]
    for rule in fa.RULES:
        if rule not in CONTROLS:
            cells = [_brief(task, rule, rows) for task, rows in tasks.values()]
            lines.append(f"| `{rule}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _brief(task: Task, rule: str, rows: Rows) -> str:
    status = rows[rule]["status"] if rule in rows else "unfinished"
    if status != "finished":
        return {"unfinished": "", "refused": "no"}.get(status, status)
    ratio = recovered(task, rule, rows)
    if ratio is None:
        return "-"
    return f"{ratio.value:.2f}" if math.isfinite(ratio.low) else "?"


def _published(task: Task, rule: str) -> str:
    known = PUBLISHED.get(task.name)
    return f"{known.values[rule]:.2f}" if known and rule in known.values else ""


def _cells(task: Task, rule: str, rows: Rows) -> list[str]:
    row = rows[rule]
    if row["status"] == "unfinished" or (row["status"] == "finished" and len(row["runs"]) < SHOWN):
        return ["not finished", *[""] * 6]
    if row["status"] != "finished":
        return [f"**{row['status']}**: {_sentence(row['reason'])}", *[""] * 6]
    cost = row["cost"]
    ratio = recovered(task, rule, rows)
    return [
        _of(of_mean(scores(row))),
        "-" if ratio is None else _of(ratio),
        _angle(row),
        *(f"{cost[key]:.2f}" for key in ("time", "flops", "saved")),
        _rate(row),
    ]


def _of(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return f"{interval.value:.2f} [unbounded]"
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _angle(row: Mapping[str, Any]) -> str:
    """The angle as text: the mean over seeds of the mean over weight matrices."""
    means = [statistics.mean(found["angles"].values()) for found in row["runs"].values() if found["angles"]]
    return f"{statistics.mean(means):.0f}°" if means else "-"


def _rate(row: Mapping[str, Any]) -> str:
    edge = row["rate"] in (min(row["settings"]["rates"]), max(row["settings"]["rates"]))
    return f"{row['rate']:g}{' †' if edge else ''}"


def _sentence(reason: str) -> str:
    """The first sentence of a reason, cut to 160 characters and without characters that end a cell."""
    first = reason.split(". ")[0].replace("|", "/").replace("\n", " ")
    return first if len(first) < 160 else first[:157] + "..."


def facts(task: Task, preset: str, rows: Rows) -> list[str]:
    """Data, budget, time, code and machine of a preset's rows."""
    used = task.presets[preset]
    samples = "all samples" if used.samples is None else f"{used.samples} samples including the held-out samples"
    rates = ", ".join(f"{rate:g}" for rate in used.rates)
    labels = sorted({row["settings"]["data"] for row in rows.values()})
    every = [c for row in rows.values() for c in (row["environment"]["commit"] or "unknown", *row.get("continued", []))]
    commits = sorted({commit[:10] for commit in every})
    machines = sorted({_machine(row["environment"]["machine"]) for row in rows.values()})
    told = "The frozen control is at least as good as backpropagation here, so that there is nothing to recover."
    missing = [rule for rule in fa.RULES if rule not in rows or rows[rule]["status"] == "unfinished"]
    command = f"`{RUN} {task.name} --preset {preset} --rules {' '.join(missing)}`"
    repeated = {
        same: [rule for rule in rows if rows[rule].get("again", {}).get("same") is same] for same in (True, False)
    }
    return [
        f"`{preset}`: {' and '.join(labels)}, {samples}, {used.epochs} epochs from {used.seeds} seeds. The learning rate is "
        f"one of {rates}, chosen by one run of {used.tuning_epochs} epochs each. {task.optimizer} with weight decay "
        f"{task.decay:g}, batches of {task.batch or 'all samples'}.",
        f"{sum(row['minutes'] for row in rows.values()):.0f} minutes in all. Commit {', '.join(commits)}. "
        f"{'; '.join(machines)}.",
        *([told] if outdone(task, rows) else []),
        *([f"Not run: {command}"] if missing else []),
        *(
            [f"Trained again, with the same numbers in every digit: {_named(repeated[True])}."]
            if repeated[True]
            else []
        ),
        *([f"Trained again, with **other numbers**: {_named(repeated[False])}."] if repeated[False] else []),
    ]


def _named(rules: Sequence[str]) -> str:
    return ", ".join(f"`{rule}`" for rule in rules)


def _machine(machine: Mapping[str, Any]) -> str:
    return f"{machine['gpu'] or machine['cpu']}, {machine['threads']} thread{'s' if machine['threads'] != 1 else ''}"


def order(task: Task, rules: Sequence[str], rows: Rows) -> list[str]:
    """The rules with a recovery, sorted from the largest recovery to the smallest."""
    known = {rule: found.value for rule in rules if rule in rows and (found := recovered(task, rule, rows))}
    return sorted(known, key=lambda rule: -known[rule])
