"""The figures of launay2019, drawn from the CSV logs."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from replications.experiment.loggers import Curve, read_curve
from replications.experiment.session import Session
from replications.papers.launay2019.configurations import CHANGES
from replications.papers.launay2019.plan import PRE_ALIGNED, VARIANTS, bottleneck_name
from replications.papers.launay2019.settings import PAPER
from replications.papers.launay2019.summary import cosines
from replications.papers.launay2019.titles import second
from replications.reporting.figures import Line, draw

EPOCHS: Any = {"xlabel": "epoch", "xscale": "linear"}
Curves = Mapping[str, Sequence[Curve]]  # {name of the run: one curve per seed}


def draw_figures(session: Session) -> None:
    """Draw the figures of the chosen experiments."""
    curves = _curves(session)
    for net in ("fc", "conv"):
        shown = [name for name in (*CHANGES, PRE_ALIGNED) if name.startswith(net) and name in curves]
        panels = {name: _layers(curves[name]) for name in shown}
        if panels:
            draw(session, f"cosines-{net}", panels, ylabel="cosine to backpropagation", top=1, bottom=-0.1, **EPOCHS)
    if any(bottleneck_name("repo", size) in curves for size in session.settings.sizes):
        width: Any = {"xlabel": "width of the second layer", "xscale": "log"}
        log = authors_log() if session.settings.bottleneck == PAPER.bottleneck else {}
        for what, numbers, axis in (
            ("accuracy", lambda _: _accuracies, {"ylabel": "accuracy (%)"}),
            ("cosine", _second, {"ylabel": "cosine of the second layer", "top": 1}),
        ):
            shown = {variant: _over_sizes(session, curves, variant, numbers(variant)) for variant in VARIANTS}
            shown["repo"] |= {f"{name}, authors' log": log[name] for name in shown["repo"] if name in log}
            panels = {variant: lines for variant, lines in shown.items() if lines}
            draw(session, f"bottleneck-{what}", panels, **axis, **width)
    for net in session.settings.recipes:
        lines = {name: _tested(curves[name]) for name in curves if name.startswith(f"{net}-") and name not in CHANGES}
        if lines:
            draw(session, f"recipes-{net}", {net: lines}, ylabel="test accuracy (%)", **EPOCHS)


def authors_log() -> dict[str, Line]:
    """{number: a line over the sizes of the authors' own blocks, after 50 epochs}."""
    entries = json.loads((Path(__file__).parent / "evidence.json").read_text(encoding="utf-8"))
    (rows,) = [entry["value"] for entry in entries if entry["id"] == "bottleneck-log"]
    columns = {"train": 1, "test": 2, "second layer": 3}
    return {name: [{row[0]: row[column] for row in rows}] for name, column in columns.items()}


def _curves(session: Session) -> Curves:
    curves: dict[str, list[Curve]] = {}
    for record in session.loop.records:
        if "/" not in record["name"]:  # not a short run for tuning
            path = session.logs / f"{record['experiment']}/{record['name']}-seed{record['seed']}" / "metrics.csv"
            curves.setdefault(record["name"], []).append(read_curve(path))
    return curves


def _layers(seeds: Sequence[Curve]) -> dict[str, Line]:
    """The cosines of each layer over epochs. They are measured at the end of each epoch."""
    return {
        f"layer {layer}": [dict(enumerate(cosines(curve)[layer].values(), start=1)) for curve in seeds]
        for layer in cosines(seeds[0])
    }


def _tested(seeds: Sequence[Curve]) -> Line:
    return [dict(enumerate(curve["test/accuracy_at"].values(), start=1)) for curve in seeds]


def _accuracies(curve: Curve) -> dict[str, float]:
    return {part: list(curve[f"{part}/accuracy_at"].values())[-1] for part in ("train", "test")}


def _second(variant: str) -> Callable[[Curve], dict[str, float]]:
    return lambda curve: {"second layer": list(cosines(curve)[int(second(variant))].values())[-1]}


def _over_sizes(
    session: Session, curves: Curves, variant: str, numbers: Callable[[Curve], dict[str, float]]
) -> dict[str, Line]:
    """{number: a line over the sizes for each seed}."""
    found: dict[str, list[dict[int, float]]] = {}
    for size in session.settings.sizes:
        for seed, curve in enumerate(curves.get(bottleneck_name(variant, size), ())):
            for name, value in numbers(curve).items():
                lines = found.setdefault(name, [])
                lines += [{} for _ in range(seed + 1 - len(lines))]
                lines[seed][size] = value
    return found
