"""The HTML page: one file that loads no other files. Its template is templates/page.html.j2."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from replications.judging.presets import PRESETS
from replications.reporting.finding import Found
from replications.reporting.prose import html
from replications.reporting.readme import BANDS
from replications.reporting.table import accepted, got

MARKS = {
    "reproduced": "✓ reproduced",
    "undecided": "? undecided",
    "failed": "✗ failed",
    "reported": "• reported",
    "not run yet": "- not run yet",
}


def page(results: Sequence[Found]) -> str:
    """The whole page."""
    # all values are escaped
    templates = Environment(loader=PackageLoader("replications.reporting"), autoescape=True, undefined=StrictUndefined)
    templates.trim_blocks = templates.lstrip_blocks = True
    filters = (accepted, counts, embedded, flat, got, settings)
    templates.filters |= {"formulas": html, **{function.__name__: function for function in filters}}
    return (
        templates.get_template("page.html.j2")
        .render(results=results, presets=PRESETS, bands=BANDS, marks=MARKS)
        .lstrip()
        + "\n"
    )


def counts(claims: Sequence[Mapping[str, Any]]) -> str:
    """The number of claims per verdict."""
    verdicts = [claim["verdict"] for claim in claims]
    return ", ".join(f"{verdicts.count(v)} {v}" for v in MARKS if v in verdicts) or "no claims judged"


def embedded(figure: Path) -> str:
    """The image as a data URL."""
    kind = "svg+xml" if figure.suffix == ".svg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(figure.read_bytes()).decode()}"


def settings(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """{setting: {value: runs with this value}}."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        for name, value in run["settings"].items():
            had = found.setdefault(name, {}).setdefault(json.dumps(value), [])
            if (label := f"{run['experiment']}/{run['name']}") not in had:
                had.append(label)
    return found


def flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The environment without nesting. The nested entries come last."""
    outer = {key: value for key, value in environment.items() if not isinstance(value, Mapping)}
    nested = (value for value in environment.values() if isinstance(value, Mapping))
    return outer | {key: value for inner in nested for key, value in inner.items()}
