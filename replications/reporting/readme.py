"""Generates a row per paper in the README, and docs/papers/<paper>.md, from replications/results/*/*/results.json."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from replications.errors import ReplicationError
from replications.experiment import registry
from replications.judging.claims import ANY_DATA
from replications.reporting.committed import RESULTS, place
from replications.reporting.prose import raised, sections, table
from replications.reporting.table import COLOURS, cells, tally

BEGIN, END = "<!-- replications:begin -->", "<!-- replications:end -->"
ROOT = Path(__file__).parents[2]
PAGES = Path("docs", "papers")
"""Relative to the folder of the README."""
Result = dict[str, Any]
BANDS = (
    "A line is the mean over the seeds. A line without a band is of one seed. The figure or its caption says what its bands "
    "are. If neither does, the figure is older, and a band is one standard deviation over the seeds."
)
ARTIFICIAL = "artificial data"
HEAD = ("verdict", "claim", "paper says", "accepted", "we got: mean [95 % interval]", "preset")


def render(results: Iterable[Result]) -> str:
    """The README's table without its markers: a row per paper, which counts the verdicts on the paper's page."""
    columns = ["paper", "longest runs", *COLOURS, "verdicts of one seed"]
    rows = [_summary(paper, of) for paper, of in _by_paper(results)]
    return table(columns, rows) if rows else "No results yet."


def render_pages(results: Iterable[Result]) -> dict[str, str]:
    """{paper: its page}: the verdicts, the sections of the paper's docstring, and the figures."""
    return {paper: _page(paper, of) for paper, of in _by_paper(results)}


def update(readme: Path, results: Iterable[Result], *, check: bool) -> bool:
    """Whether `readme` and the papers' pages beside it were up to date. Stale files are rewritten unless `check`."""
    results = list(results)
    current = rewrite(readme, BEGIN, END, render(results), check=check)
    for paper, text in render_pages(results).items():
        page = readme.parent / PAGES / f"{paper}.md"
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            current = False
            if not check:
                page.parent.mkdir(parents=True, exist_ok=True)
                page.write_text(text, encoding="utf-8")
    return current


def update_own_pages(folder: Path, results: Iterable[Result], *, check: bool) -> bool:
    """Like :func:`update`, for the `pages` of papers, between the lines <!-- paper:begin --> and <!-- paper:end -->."""
    current = True
    for paper, of in _by_paper(results):
        pages = registry.load(paper).pages if paper in registry.names() else {}
        for path, write in pages.items():
            markers = (f"<!-- {paper}:{end} -->" for end in ("begin", "end"))
            current &= rewrite(folder / path, *markers, write(of), check=check)
    return current


def rewrite(readme: Path, begin: str, end: str, body: str, *, check: bool) -> bool:
    """Whether `body` was the text between the marker lines of `readme`. The text is replaced by `body` unless `check`."""
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


def _by_paper(results: Iterable[Result]) -> list[tuple[str, list[Result]]]:
    """The papers, sorted by name, and the results of each from full to smoke."""
    ordered = sorted(results, key=lambda result: place(result["paper"], result["preset"]))
    return [(paper, list(of)) for paper, of in groupby(ordered, key=lambda result: result["paper"])]


def _summary(paper: str, results: Sequence[Result]) -> list[str]:
    claims = [claim for _, fresh in _not_repeated(results) for claim in fresh]
    count = Counter(claim["verdict"] for claim in claims)
    single = sum(claim["n"] == 1 and claim["verdict"] in ("reproduced", "failed") for claim in claims)
    longest = _longest(results)
    numbers = [str(number) for number in (*(count[verdict] for verdict in COLOURS), single)]
    return [f"[{paper}]({(PAGES / paper).as_posix()}.md)", longest, *numbers]


def _longest(results: Sequence[Result]) -> str:
    """The longest preset and its data, and the longest with runs on the paper's data set if that is another."""
    on = [(result["preset"], _data(result)) for result in results]
    first = next((number for number, (_, data) in enumerate(on) if data != ARTIFICIAL), 0)
    return ", ".join(f"`{preset}` on {data}" for preset, data in dict.fromkeys((on[0], on[first])))


def _data(result: Result) -> str:
    """The data set, or ARTIFICIAL if no claim with runs is about a data set."""
    claims = registry.load(result["paper"]).claims if result["paper"] in registry.names() else ()
    unbound = {claim.id for claim in claims if claim.datasets == ANY_DATA}
    with_runs = [claim["id"] for claim in result["claims"] if claim["n"]]
    return ARTIFICIAL if with_runs and unbound.issuperset(with_runs) else str(result["dataset"])


def _page(paper: str, results: Sequence[Result]) -> str:
    title, about = paper, ""
    if paper in registry.names():
        title, about = registry.load(paper).title, sections(registry.docstring(paper))
    parts = [f"# {title}", f"Run it again: `python -m replications {paper}`.", "## Verdicts", _section(paper, results)]
    parts += [about, _figures(paper, results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(paper: str, results: Sequence[Result]) -> str:
    """The section "Figures": each figure of the longest preset that has it."""
    found: dict[str, Path] = {}
    for result in results:
        for path in sorted((RESULTS / paper / result["preset"] / "figures").glob("*.png")):
            found.setdefault(path.name, path)
    captions = registry.load(paper).captions if paper in registry.names() else {}
    shown = []
    for path in found.values():
        preset = path.parent.parent.name
        shown.append(f"![{path.stem}, preset {preset}]({_from_page(path)})")
        shown.append(f"*{path.stem}*, preset `{preset}`. {captions.get(path.stem, '')}".rstrip())
    return "\n\n".join(["## Figures", BANDS, *shown]) if shown else ""


def _from_page(path: Path) -> str:
    return f"../../{path.relative_to(ROOT).as_posix()}"


def _section(paper: str, results: Sequence[Result]) -> str:
    """The section "Verdicts" of one paper. `results` are sorted from the longest preset to the shortest."""
    shown = [(result, list(claims)) for result, claims in _not_repeated(results)]
    facts = [_facts(result, claims, larger=results[:number]) for number, (result, claims) in enumerate(shown)]
    if results[0]["preset"] != "full":
        facts.append(f"- `full` was not run: `python -m replications {paper} --preset full`")
    rows = [(claim, _row(claim, result["preset"])) for result, claims in shown for claim in claims]
    parts = ["\n".join(facts)]
    failed = [row for claim, row in rows if claim["verdict"] in ("failed", "undecided")]
    if failed:
        parts.append(table(HEAD, failed))
    everything = table(HEAD, [row for _, row in rows])
    parts.append(f'<details markdown="1"><summary>all claims of {paper}</summary>\n\n{everything}\n\n</details>')
    return "\n\n".join(parts)


def _not_repeated(results: Sequence[Result]) -> Iterator[tuple[Result, list[dict[str, Any]]]]:
    """Each result with its claims, without the claims that an earlier result on the same data has shown.

    A claim that was not run yet is shown only if no preset has run it on the same data.
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
    # only the longest preset names missing runs, because a shorter preset need not repeat them
    missing = f". Not run yet: `{rest}`" if rest and not larger else ""
    return f"- `{result['preset']}` on {_data(result)}{beyond}: {tally(claims)} ({cost}){missing}"


def _row(claim: dict[str, Any], preset: str) -> list[str]:
    *texts, verdict = cells(claim)
    return [verdict, *map(raised, texts), preset]
