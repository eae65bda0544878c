"""The command line.

python -m benchmarks.leaderboard run [TASK ...] [--rules dfa ...] [--preset quick] [--data-dir D] [--out O]
python -m benchmarks.leaderboard cost [TASK ...]     measure the costs of finished rows again, on an idle machine
python -m benchmarks.leaderboard again [TASK ...]    train finished rows again, and note whether the numbers are the same
python -m benchmarks.leaderboard table [--check]

`cost` and `again` have the options of `run`. A finished row is only run again after its file was removed, and continues if
learning rates were added to its task's list. Several calls with one --out share the rows.
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
        "cost": "measure the costs of finished rows again",
        "again": "train finished rows again and compare the numbers",
    }
    for name, text in helps.items():
        running = commands.add_parser(name, help=text)
        running.add_argument(
            "tasks", nargs="*", default=[], metavar="TASK", help=f"out of {', '.join(TASKS)}; default: all"
        )
        running.add_argument("--rules", nargs="+", default=list(fa.RULES), choices=list(fa.RULES), metavar="RULE")
        running.add_argument("--preset", default="quick")
        running.add_argument("--data-dir", type=Path)
        running.add_argument("--out", type=Path, default=row.RESULTS)
        running.add_argument("--threads", type=int, default=1)
    table = commands.add_parser("table", help="rewrite docs/leaderboard.md from the rows")
    table.add_argument("--check", action="store_true", help="change nothing; status 1 if the page is stale")
    return made


def run(options: argparse.Namespace) -> int:
    """Run the command on all chosen rows. The controls come first, because the recovery of other rows needs them."""
    row.threads(options.threads)
    for name in options.tasks or TASKS:
        task = TASKS[name]
        splits = task.data(task.presets[options.preset], options.data_dir)
        first = () if options.command == "again" else CONTROLS
        for rule in dict.fromkeys((*first, *options.rules)):
            if task.controls and rule in CONTROLS:
                continue  # this task uses the controls of another task
            act, tell = ACTIONS[options.command]
            text = tell(act(task, rule, options.preset, splits, options.out))
            print(f"{name:14} {rule:12} {text}", flush=True)
    return 0


def line(done: dict | None) -> str:
    if done is None:
        return "another process runs this row"
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
"""{command: (function that runs it on a row, function from the result to the printed text)}."""


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.command != "table":
        return run(options)
    fresh = update(check=options.check)
    if options.check and not fresh:
        print("error: docs/leaderboard.md is stale. Run `python -m benchmarks.leaderboard table`.", file=sys.stderr)
    return int(options.check and not fresh)


if __name__ == "__main__":
    sys.exit(main())
