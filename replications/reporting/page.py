"""The HTML page: one file, nothing loaded from anywhere."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from replications.reporting.finding import Found
from replications.reporting.prose import html
from replications.reporting.readme import BANDS
from replications.reporting.table import accepted, got

HERE = Path(__file__).parent
MARKS = {
    "reproduced": "✓ reproduced",
    "undecided": "? undecided",
    "failed": "✗ failed",
    "reported": "• reported",
    "not run yet": "- not run yet",
}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(results: Sequence[Found]) -> str:
    """The whole page."""
    style = (HERE / "page.css").read_text(encoding="utf-8")
    links = "".join(f"<li>{_link(result)}</li>" for result in results)
    body = "".join(_paper(result) for result in results)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>lightning-fa: replications</title><style>{style}</style></head><body><main>"
        f"<h1>Replications with lightning-fa</h1><nav><ul>{links}</ul></nav>{body}</main></body></html>\n"
    )


def _link(result: Found) -> str:
    preset = escape(result.content["preset"])
    return f'<a href="#{escape(result.anchor)}">{escape(result.title)}, {preset}</a> {_tally(result)}'


def _paper(result: Found) -> str:
    content = result.content
    parts = [
        f"<p>{escape(content['dataset'])}, preset <code>{escape(content['preset'])}</code>, {_seeds(result)}.</p>",
        _prose(result.section("Paper")),
        _unfinished(content),
        _stand_in(content["dataset"]),
        _section("Claims", _claims(content["claims"])),
        _section("Figures", _figures(result) or "<p>There are no figures.</p>"),
        _section("Differences from the paper", _prose(result.section("Differences"))),
        _section("Set-up", _prose(result.section("Set-up"))),
        _section("Settings", _settings(content["runs"])),
        _section("Environment", _environment(content["environment"])),
        _section("How to run it again", _rerun(result)),
        _section("Runs", _runs(content["runs"])),
    ]
    return f'<article id="{escape(result.anchor)}"><h2>{escape(result.title)}</h2>{"".join(parts)}</article>'


def _section(title: str, html: str) -> str:
    return f"<section><h3>{title}</h3>{html}</section>" if html else ""


def _tally(result: Found) -> str:
    verdicts = [claim["verdict"] for claim in result.content["claims"]]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in MARKS if verdict in verdicts]
    return escape(f"({', '.join(counts) or 'no claims judged'})")


def _seeds(result: Found) -> str:
    seeds = len({run["seed"] for run in result.content["runs"]})
    return f"{_many(seeds, 'seed')}, {_many(len(result.content['runs']), 'run')}"


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"


def _unfinished(content: Mapping[str, Any]) -> str:
    if content["claims"]:
        return ""
    finished = _many(len(content["runs"]), "run")
    return (
        f'<p class="note">Unfinished: it was cut after {finished}, before any claim was judged. The same '
        "command with <code>--out</code> goes on.</p>"
    )


def _stand_in(dataset: str) -> str:
    if "(stand-in)" not in dataset:
        return ""
    return '<p class="note">Stand-in data: no claim about the paper\'s data is judged.</p>'


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f'<span class="verdict {escape(c["verdict"].split()[0])}">{escape(MARKS.get(c["verdict"], c["verdict"]))}</span>',
            html(c["statement"]),
            html(c["expected"]),
            escape(accepted(c)),
            escape(got(c)),
            escape(c["source"]),
        ]
        for c in claims
    ]
    return _table(
        ["verdict", "claim", "paper says", "accepted", "we got: mean [95 % interval] (n seeds)", "source"],
        rows,
        "claims",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _figures(result: Found) -> str:
    shown = [_figure(path, result.caption(path.stem)) for path in result.figures]
    return f"<p>{escape(BANDS)}</p>{''.join(shown)}" if shown else ""


def _figure(path: Path, caption: str) -> str:
    data = path.read_bytes()
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    name = escape(path.stem)
    return f'<figure><img alt="{name}" src="{source}"><figcaption>{name}. {html(caption)}</figcaption></figure>'


def _prose(text: str) -> str:
    return "".join(f"<p>{html(part)}</p>" for part in text.split("\n\n") if part.strip())


def _settings(runs: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for run in runs for name in run["settings"]))
    rows = []
    for name in names:
        by_value: dict[str, list[str]] = {}
        for run in runs:
            if name in run["settings"]:
                users = by_value.setdefault(json.dumps(run["settings"][name]), [])
                users.append(f"{run['experiment']}/{run['name']}")
        if len(by_value) == 1:
            value = escape(next(iter(by_value)))
        else:
            value = "<br>".join(f"{escape(v)}: {escape(', '.join(dict.fromkeys(u)))}" for v, u in by_value.items())
        rows.append([f"<code>{escape(name)}</code>", value])
    return _table(["setting", "value"], rows)


def _environment(environment: Mapping[str, Any]) -> str:
    flat = {k: v for k, v in environment.items() if not isinstance(v, Mapping)}
    flat |= {k: v for inner in environment.values() if isinstance(inner, Mapping) for k, v in inner.items()}
    return _table(["", ""], [[escape(str(k)), escape(str(v))] for k, v in flat.items() if v is not None], "facts")


def _rerun(result: Found) -> str:
    commit = str(result.content["environment"].get("commit") or "")
    checkout = f"git checkout {commit.removesuffix('-dirty')}\n" if commit else ""
    dirty = "<p>The code had changes that are not in the commit.</p>" if commit.endswith("-dirty") else ""
    return f"<pre>{escape(checkout + result.command)}</pre>{dirty}{_prose(result.section('Cost'))}"


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for run in runs:
        metrics = ", ".join(f"{name} {_shown(value)}" for name, value in run["metrics"].items())
        name = f"{run['experiment']}/{run['name']}"
        rows.append([escape(name), str(run["seed"]), f"{run['seconds']:g}", escape(metrics)])
    head = ["run", "seed", "seconds", "metrics"]
    return f"<details><summary>{len(runs)} runs</summary>{_table(head, rows, 'runs')}</details>"


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"
