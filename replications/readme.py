"""The section of the README that is generated from replications/results/*/*/results.json."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from replications.committed import LONGEST_FIRST
from replications.errors import ReplicationError
from replications.table import cells, tally

BEGIN, END = "<!-- replications:begin -->", "<!-- replications:end -->"
ROOT = Path(__file__).parent.parent
Result = dict[str, Any]
HEAD = "| claim | paper says | accepted | we got: mean [95 % interval] | preset | verdict |\n|---|---|---|---|---|---|"


def render(results: Iterable[Result]) -> str:
    """The generated section, without its markers: papers by name, their presets from full to smoke."""
    ordered = sorted(results, key=lambda result: (result["paper"], LONGEST_FIRST.index(result["preset"])))
    papers = groupby(ordered, key=lambda result: result["paper"])
    return "\n\n".join(_section(paper, list(of)) for paper, of in papers) or "No results yet."


def update(readme: Path, results: Iterable[Result], *, check: bool) -> bool:
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


def _section(paper: str, results: Sequence[Result]) -> str:
    """One paper; `results` from the longest preset to the shortest."""
    shown = [(result, list(claims)) for result, claims in _not_repeated(results)]
    facts = [_facts(result, claims, larger=results[:number]) for number, (result, claims) in enumerate(shown)]
    if results[0]["preset"] != "full":
        facts.append(f"- `full` was not run: `python -m replications {paper} --preset full`")
    rows = [(claim, _row(claim, result["preset"])) for result, claims in shown for claim in claims]
    parts = [f"### {paper}", "\n".join(facts)]
    failed = [row for claim, row in rows if claim["verdict"] in ("failed", "undecided")]
    if failed:
        parts.append("\n".join([HEAD, *failed]))
    everything = "\n".join([HEAD, *(row for _, row in rows)])
    parts.append(f"<details><summary>all claims of {paper}</summary>\n\n{everything}\n\n</details>")
    return "\n\n".join(parts)


def _not_repeated(results: Sequence[Result]) -> Iterator[tuple[Result, list[dict[str, Any]]]]:
    """Each result with those claims on which no earlier one has a word, on the same data.

    A claim that was not run yet is a word only where no other preset has one.
    """
    said = {(r["dataset"], claim["id"]) for r in results for claim in r["claims"] if claim["n"]}
    known: set[tuple[str, str]] = set()
    for result in results:
        data = result["dataset"]
        new = [claim for claim in result["claims"] if (data, claim["id"]) not in known]
        fresh = [claim for claim in new if claim["n"] or (data, claim["id"]) not in said]
        known |= {(data, claim["id"]) for claim in fresh}
        yield result, fresh


def _facts(result: Result, claims: Sequence[dict[str, Any]], larger: Sequence[Result]) -> str:
    environment = result["environment"]
    machine, rest = environment["machine"], environment.get("rest")
    threads = f"{machine['threads']} thread{'s' if machine['threads'] != 1 else ''}"
    cost = f"{environment['wall_time_s'] / 60:.0f} min; {machine['gpu'] or machine['cpu']}, {threads}"
    beyond = f", beyond {' and '.join('`' + other['preset'] + '`' for other in larger)}" if larger else ""
    # what a larger preset has run need not be run in this one, and what it has not is named there
    missing = f". Not run yet: `{rest}`" if rest and not larger else ""
    return f"- `{result['preset']}` on {result['dataset']}{beyond}: {tally(claims)} ({cost}){missing}"


def _row(claim: dict[str, Any], preset: str) -> str:
    *texts, verdict = cells(claim)
    return f"| {' | '.join([*texts, preset, verdict])} |"
