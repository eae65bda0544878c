"""The table of claims: paper says, we got, verdict."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

COLOURS = {"reproduced": "green", "failed": "bold red", "reported": "yellow"}
STAND_IN = "STAND-IN DATA, so no claim about the paper's data is judged"


def got(claim: Mapping[str, Any]) -> str:
    """The value, its spread if there is more than one seed, and n."""
    if claim["value"] is None:
        return f"undefined (n={claim['n']})"
    spread = f" ± {_number(claim['std'])}" if claim["std"] is not None else ""
    return f"{_number(claim['value'])}{spread} (n={claim['n']})"


def _number(value: float) -> str:
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.1e}"


def accepted(claim: Mapping[str, Any]) -> str:
    """The interval in which the value had to lie."""
    if claim["tolerance"] is None:
        return "no bound"
    low, high = claim["tolerance"]
    return f"{low:g} to {high:g}"


def tally(claims: Iterable[Mapping[str, Any]]) -> str:
    """How many claims have which verdict."""
    count = Counter(claim["verdict"] for claim in claims)
    return ", ".join(f"{count[verdict]} {verdict}" for verdict in COLOURS)


def cells(claim: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """Of one claim: what it states, what the paper says, what is accepted, what we got, the verdict."""
    return claim["statement"], claim["expected"], accepted(claim), got(claim), claim["verdict"]


def heading(results: Mapping[str, Any]) -> str:
    """Paper, data and preset; loud where other data stand in."""
    text = f"{results['paper']} on {results['dataset']}, preset {results['preset']}"
    if "(stand-in)" in results["dataset"]:
        text += f": {STAND_IN}"
    return text


def show(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the table: ruled on a terminal, one line per fact elsewhere."""
    console = console or Console()
    if console.is_terminal:
        console.print(_ruled(results))
        return
    print(heading(results))
    for claim in results["claims"]:
        print(f"{claim['verdict']:<10} {claim['id']}: {claim['statement']}")
        print(f"           paper says: {claim['expected']}")
        print(f"           we got: {got(claim)}, accepted: {accepted(claim)}, source: {claim['source']}")


def _ruled(results: Mapping[str, Any]) -> Table:
    table = Table(title=heading(results), show_lines=True)
    for column in ("claim", "paper says", "accepted", "we got: mean ± std (n)", "verdict"):
        table.add_column(column)
    for claim in results["claims"]:
        *texts, verdict = cells(claim)
        table.add_row(*map(escape, texts), f"[{COLOURS[verdict]}]{verdict}[/]")
    return table
