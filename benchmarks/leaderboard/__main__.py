"""The command line.

python -m benchmarks.leaderboard run [TASK ...] [--rules dfa ...] [--preset quick] [--data-dir D] [--out O]
python -m benchmarks.leaderboard cost [TASK ...]     as run: measure the costs of finished rows once more, on an idle machine
python -m benchmarks.leaderboard again [TASK ...]    as run: train finished rows again, and note whether they come out the same
python -m benchmarks.leaderboard table [--check]

A finished row is not run again: remove its file for that. Several calls with one --out share the rows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import lightning_fa as fa
from benchmarks.leaderboard import row
from benchmarks.leaderboard.page import update
from benchmarks.leaderboard.table import CONTROLS
from benchmarks.leaderboard.tasks import TASKS


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = made.add_subparsers(dest="command", required=True)
    helps = {
        "run": "measure rows that are not on disk yet",
        "cost": "measure the costs of finished rows once more",
        "again": "train finished rows once more and compare",
    }
    for name, text in helps.items():
        running = commands.add_parser(name, help=text)
        running.add_argument(
            "tasks", nargs="*", default=[], metavar="TASK", help=f"of {', '.join(TASKS)}; default: all"
        )
        running.add_argument("--rules", nargs="+", default=list(fa.RULES), choices=list(fa.RULES), metavar="RULE")
        running.add_argument("--preset", default="quick")
        running.add_argument("--data-dir", type=Path)
        running.add_argument("--out", type=Path, default=row.RESULTS)
        running.add_argument("--threads", type=int, default=1)
    table = commands.add_parser("table", help="rewrite docs/leaderboard.md from the rows")
    table.add_argument("--check", action="store_true", help="only say whether it is up to date")
    return made


def run(options: argparse.Namespace) -> int:
    """Backpropagation and the frozen control come first, since every other row is read against them."""
    row.threads(options.threads)
    for name in options.tasks or TASKS:
        task = TASKS[name]
        splits = task.data(task.presets[options.preset], options.data_dir)
        first = () if options.command == "again" else CONTROLS
        for rule in dict.fromkeys((*first, *options.rules)):
            if task.controls and rule in CONTROLS:
                continue  # rows of the other task
            act, tell = ACTIONS[options.command]
            text = tell(act(task, rule, options.preset, splits, options.out))
            print(f"{name:14} {rule:12} {text}", flush=True)
    return 0


def line(done: dict | None) -> str:
    if done is None:
        return "another process is at it"
    if done["status"] != "finished":
        return f"{done['status']}: {done['reason'][:100]}"
    scores = " ".join(f"{found['test']:.2f}" for found in done["runs"].values())
    return f"rate {done['rate']:g}  test {scores}  {done['minutes']:.1f} min"


def costs(done: dict | None) -> str:
    return "not finished" if done is None else "  ".join(f"{key} {value:.2f}" for key, value in done["cost"].items())


def repeated(done: dict | None) -> str:
    return "not finished" if done is None else "the same numbers" if done["again"]["same"] else "OTHER NUMBERS"


ACTIONS: dict[str, tuple[Callable[..., dict | None], Callable[[dict | None], str]]] = {
    "run": (row.run, line),
    "cost": (row.cost_again, costs),
    "again": (row.again, repeated),
}
"""Command -> what it does with a row, and what it prints of it."""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.command != "table":
        return run(options)
    fresh = update(check=options.check)
    if options.check and not fresh:
        print("docs/leaderboard.md is stale: run `python -m benchmarks.leaderboard table`", file=sys.stderr)
    return int(options.check and not fresh)


if __name__ == "__main__":
    sys.exit(main())
