"""The section of the README that is generated from replications/results/*/results.json."""

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
    """Whether `readme` was up to date; it is rewritten unless `check`."""
    if not readme.is_file():
        raise ReplicationError(f"Expected a README at {readme} but there is none. Name it by --readme.")
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ReplicationError(
            f"Expected {readme} to contain the lines {BEGIN} and {END}. Add them where the table goes."
        )
    fresh = f"{before}{BEGIN}\n{render(results)}\n{END}{after}"
    if fresh != text and not check:
        readme.write_text(fresh, encoding="utf-8")
    return fresh == text


def _section(result: dict[str, Any]) -> str:
    machine = result["environment"]["machine"]
    facts = f"preset `{result['preset']}` on {result['dataset']}, {result['environment']['wall_time_s'] / 60:.0f} min"
    hardware = f"{machine['gpu'] or machine['cpu']}, {machine['threads']} threads"
    rows = [
        f"| {claim['statement']} | {claim['expected']} | {accepted(claim)} | {got(claim)} | {claim['verdict']} |"
        for claim in result["claims"]
    ]
    head = ["| claim | paper says | accepted | we got | verdict |", "|---|---|---|---|---|"]
    return "\n".join([f"**{result['paper']}** ({facts}; {hardware})", "", *head, *rows])
