"""The README's table of the time and memory that a rule saves, from the results of other benchmarks.

    python -m benchmarks.saves [--check]

The time is from ``python -m benchmarks``, the memory from ``python -m benchmarks.memory``, and the throughput of two processes
from ``python -m benchmarks.pipeline``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from replications.reporting.readme import rewrite

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- saves:begin -->", "<!-- saves:end -->"
RULES = ("bp", "fa", "kp", "dfa", "lafs", "drtp", "local", "sg")
NET, TASK, DEPTH = "784-512x20-10", "MLP 784-1024x8-10", "50"
PIPELINES = {"lafs": "lafs_pipeline", "dfa": "dfa_pipeline, 1 microbatches", "bp": "backprop, DDP"}


def render(time: dict[str, Any], memory: dict[str, Any], pipeline: dict[str, Any]) -> str:
    """A row for each rule. A dash means that a number was not measured."""
    ways = next(group for group in time["groups"] if group["title"] == NET).get("ways", {})
    saved = memory["bytes"]
    two = pipeline["tasks"][TASK]["ways"]
    one = two["backprop, one process"]["seconds"]
    lines = [
        "| rule | time of a step | memory kept for the backward pass | throughput of two processes |",
        "|---|---:|---:|---:|",
    ]
    for rule in RULES:
        step, kept, both = ways.get(rule), saved.get(rule), two.get(PIPELINES.get(rule), {}).get("seconds")
        cells = [
            f"{step['ratio']:.2f}" if step else "-",
            f"{kept[DEPTH]['saved'] / saved['bp'][DEPTH]['saved']:.2f}" if kept else "-",
            f"{one / both:.2f} (`{PIPELINES[rule].partition(',')[0]}`)" if both else "-",
        ]
        lines.append(f"| `{rule}` | {' | '.join(cells)} |")
    return "\n".join(lines).replace("(`backprop`)", "(DDP)")


def update(*, check: bool) -> bool:
    """Whether the table was up to date. The table is written again unless ``check``."""
    found = [json.loads((RESULTS / f"{name}.json").read_text()) for name in ("time", "memory", "pipeline")]
    return rewrite(README, BEGIN, END, render(*found), check=check)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if the table is stale")
    check = parser.parse_args().check
    fresh = update(check=check)
    return int(check and not fresh)


if __name__ == "__main__":
    sys.exit(main())
