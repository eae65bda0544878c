"""The section of the README that is generated from replications/results/*/results.json."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replications.errors import ReplicationError
from replications.results import FILE, read
from replications.table import accepted, got

BEGIN, END = "<!-- replications:begin -->", "<!-- replications:end -->"
ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"


def committed(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The committed results of all papers, by name."""
    return [read(path) for path in sorted(folder.glob(f"*/{FILE}"))]


def render(results: Sequence[dict[str, Any]]) -> str:
    """The generated section, without its markers."""
    return "\n\n".join(_section(result) for result in results) or "No results yet."


def update(readme: Path, results: Sequence[dict[str, Any]], *, check: bool) -> bool:
    """Whether the results in `readme` were up to date; they are rewritten unless `check`."""
    return rewrite(readme, BEGIN, END, render(results), check=check)


def rewrite(readme: Path, begin: str, end: str, body: str, *, check: bool) -> bool:
    """Whether `body` stood between the marker lines of `readme`; it is put there unless `check`."""
    if not readme.is_file():
        raise ReplicationError(f"Expected a README at {readme} but there is none. Name it by --readme.")
    text = readme.read_text(encoding="utf-8")
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ReplicationError(
            f"Expected {readme} to contain the lines {begin} and {end}. Add them where the table goes."
        )
    fresh = f"{before}{begin}\n{body}\n{end}{after}"
    if fresh != text and not check:
        readme.write_text(fresh, encoding="utf-8")
    return fresh == text


def _section(result: dict[str, Any]) -> str:
    machine = result["environment"]["machine"]
    facts = f"preset `{result['preset']}` on {result['dataset']}, {result['environment']['wall_time_s'] / 60:.0f} min"
    hardware = f"{machine['gpu'] or machine['cpu']}, {machine['threads']} threads"
    count = Counter(claim["verdict"] for claim in result["claims"])
    verdicts = ", ".join(f"{count[verdict]} {verdict}" for verdict in ("reproduced", "failed", "reported"))
    rest = result["environment"].get("rest")
    failed = [claim for claim in result["claims"] if claim["verdict"] == "failed"]
    parts = [f"**{result['paper']}**: {verdicts} ({facts}; {hardware})"]
    if rest:
        parts.append(f"Not run yet, and not judged: `{rest}`")
    if failed:
        parts.append(_table(failed))
    parts.append(
        f"<details><summary>all claims of {result['paper']}</summary>\n\n{_table(result['claims'])}\n\n</details>"
    )
    return "\n\n".join(parts)


def _table(claims: Sequence[dict[str, Any]]) -> str:
    rows = [
        f"| {claim['statement']} | {claim['expected']} | {accepted(claim)} | {got(claim)} | {claim['verdict']} |"
        for claim in claims
    ]
    return "\n".join(["| claim | paper says | accepted | we got | verdict |", "|---|---|---|---|---|", *rows])
