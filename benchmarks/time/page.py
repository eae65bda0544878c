"""The generated part of docs/speed.md, from results/time.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.time.figures import draw
from benchmarks.time.growth import exponent
from replications.reporting.readme import rewrite

RESULTS = Path(__file__).parents[1] / "results" / "time.json"
PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"
RUN = "python -m benchmarks"


def render(results: dict[str, Any] | None) -> str:
    """The text between the markers."""
    if results is None:
        return f"Not measured yet: `{RUN}`."
    machine = results["machine"]
    said = f"`{RUN}`: {machine['device']}, {machine['threads']} thread, torch {machine['torch']}, commit {machine['commit']}."
    return "\n\n".join([said, table(results["groups"]), *_growth(results["growth"])])


def table(groups: list[dict[str, Any]]) -> str:
    """A row for each step that is compared with a baseline."""
    head = "| network | way | time, baseline = 1 | 80 % of rounds | by hand | aim | baseline |"
    lines = [head, "|---|---|---:|---:|---:|---:|---|"]
    for group in groups:
        if "error" in group:
            lines.append(f"| {group['title']} | failed: {group['error']} | | | | | |")
            continue
        base = group["baseline"]
        for way, found in group["ways"].items():
            if way != base and not way.endswith("by hand"):
                hand, aim = group["ways"].get(f"{way}, by hand"), group["aims"].get(way)
                cells = [
                    group["title"],
                    _name(way),
                    f"{found['ratio']:.2f}",
                    f"{found['low']:.2f} to {found['high']:.2f}",
                ]
                cells += ["" if hand is None else f"{hand['ratio']:.2f}", "" if aim is None else f"{aim:.2f}"]
                lines.append(f"| {' | '.join(cells)} | {base}, {1e3 * group['ways'][base]['seconds']:.2f} ms |")
    return "\n".join(lines)


def _name(way: str) -> str:
    rule, comma, rest = way.partition(",")
    return f"`{rule}`{comma}{rest}"


def _growth(growth: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    lines = ["| t = c n^p | " + " | ".join(f"p, {axis}" for axis in growth) + " |", "|---|" + "---:|" * len(growth)]
    for way in next(iter(growth.values())):
        lines.append(f"| {way} | " + " | ".join(f"{exponent(ways[way]):.2f}" for ways in growth.values()) + " |")
    spans = [f"{axis} {min(map(int, ways[way]))} to {max(map(int, ways[way]))}" for axis, ways in growth.items()]
    text = f"The values are {', '.join(spans)}. The exponent p is fitted over the upper half of the values."
    return [text, "\n".join(lines), "![Time of a step over depth, width and batch](figures/speed-growth.svg)"]


def update(*, check: bool) -> bool:
    """Whether the page was up to date. The page and its figure are written again unless ``check``."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else None
    if results is not None and not check:
        draw(results["growth"])
    return rewrite(PAGE, BEGIN, END, render(results), check=check)
