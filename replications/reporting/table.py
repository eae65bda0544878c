"""The table of claims, with the columns "paper says", "we got" and "verdict"."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from replications.judging.presets import LOOK, PRESETS

A_LOOK = "A LOOK WHETHER IT WORKS, which can fail a claim and reproduces none"
COLOURS = {
    "reproduced": "green",
    "undecided": "yellow",
    "failed": "bold red",
    "reported": "dim",
    "not run yet": "dim",
}
STAND_IN = "STAND-IN DATA, so no claim about the paper's data is judged"
CHANGED = "CHANGED SETTINGS, so no claim is judged"


def got(claim: Mapping[str, Any]) -> str:
    """The mean, its 95 % interval if there is more than one seed, and n."""
    if not claim["n"]:
        return "not run yet"
    if claim["value"] is None:
        return f"undefined (n={claim['n']})"
    interval = claim["interval"]
    shown = f" [{_number(interval[0])}, {_number(interval[1])}]" if interval else ""
    return f"{_number(claim['value'])}{shown} (n={claim['n']})"


def _number(value: float) -> str:
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.1e}"


def accepted(claim: Mapping[str, Any]) -> str:
    """The interval in which the value must lie."""
    if claim["tolerance"] is None:
        return "no bound"
    low, high = claim["tolerance"]
    return f"{low:g} to {high:g}"


def tally(claims: Iterable[Mapping[str, Any]]) -> str:
    """The number of claims per verdict, and the number of verdicts that depend on one seed."""
    claims = list(claims)
    count = Counter(claim["verdict"] for claim in claims)
    always = ("reproduced", "failed", "reported")
    shown = ", ".join(f"{count[verdict]} {verdict}" for verdict in COLOURS if count[verdict] or verdict in always)
    single = sum(claim["n"] == 1 and claim["verdict"] in ("reproduced", "failed") for claim in claims)
    return f"{shown}; {single} of the verdicts are of one seed" if single else shown


def cells(claim: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """The statement of one claim, the paper's result, the accepted interval, our result, and the verdict."""
    return claim["statement"], claim["expected"], accepted(claim), got(claim), claim["verdict"]


def loud(results: Mapping[str, Any]) -> str:
    """The reasons for which claims are not judged, in capitals; empty if they are judged."""
    reasons = {STAND_IN: "(stand-in)" in results["dataset"], CHANGED: results["preset"] not in PRESETS}
    return "".join(f": {reason}" for reason, holds in reasons.items() if holds)


def heading(results: Mapping[str, Any]) -> str:
    """Paper, data and preset, with a warning in capitals if claims are not judged or cannot be reproduced."""
    text = f"{results['paper']} on {results['dataset']}, preset {results['preset']}{loud(results)}"
    return f"{text}: {A_LOOK}" if results["preset"] == LOOK else text


def show(results: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the table, ruled on a terminal, else as lines of text."""
    console = console or Console()
    if console.is_terminal:
        console.print(_ruled(results))
        return
    print(heading(results))
    for claim in results["claims"]:
        print(f"{claim['verdict']:<11} {claim['id']}: {claim['statement']}")
        print(f"           paper says: {claim['expected']}")
        print(f"           we got: {got(claim)}, accepted: {accepted(claim)}, source: {claim['source']}")


def _ruled(results: Mapping[str, Any]) -> Table:
    table = Table(title=heading(results), show_lines=True)
    for column in ("claim", "paper says", "accepted", "we got: mean [95 % interval] (n)", "verdict"):
        table.add_column(column)
    for claim in results["claims"]:
        *texts, verdict = cells(claim)
        table.add_row(*map(escape, texts), f"[{COLOURS[verdict]}]{verdict}[/]")
    return table
