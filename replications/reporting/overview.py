"""One table of claims over several papers, and the number of claims per verdict of each paper."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from replications.reporting.prose import table
from replications.reporting.table import COLOURS, cells, loud, tally

COLUMNS = ("paper", "claim", "paper says", "accepted", "we got", "verdict")


def show_all(results: Sequence[Mapping[str, Any]], broken: Collection[str], console: Console | None = None) -> None:
    """Print the table, ruled on a terminal and in Markdown elsewhere. `broken` names the papers that ended with an error."""
    console = console or Console()
    rows = [(result["paper"], *cells(claim)) for result in results for claim in result["claims"]]
    if console.is_terminal:
        console.print(_ruled(rows))
    else:
        print(table(COLUMNS, rows))
    for result in results:
        print(_count(result, broke=result["paper"] in broken))


def _ruled(rows: Sequence[Sequence[str]]) -> Table:
    ruled = Table(*COLUMNS, show_lines=True)
    for *texts, verdict in rows:
        ruled.add_row(*map(escape, texts), f"[{COLOURS[verdict]}]{verdict}[/]")
    return ruled


def _count(result: Mapping[str, Any], *, broke: bool) -> str:
    facts = f"({result['dataset']}, preset {result['preset']}){loud(result)}"
    return f"{result['paper']}: {'broke off; ' if broke else ''}{tally(result['claims'])} {facts}"
