"""The generated part of the page "DFA in practice", from the committed results of launay2019."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from replications.judging.statistics import mean_and_interval
from replications.papers.launay2019.configurations import CHANGES, baseline
from replications.papers.launay2019.plan import RECIPE_RULES, VARIANTS, bottleneck_name
from replications.papers.launay2019.settings import PAPER
from replications.papers.launay2019.titles import TITLES, second
from replications.reporting.prose import table

MATTERS = 1.0
"""Points of test accuracy. Two configurations that differ by less are called equal."""
SEEDS, EPOCHS = 3, 15
"""The least numbers of seeds and epochs for a conclusion."""
WORDS = {
    "relu": "ReLU",
    "lrelu.5": "leaky ReLU, slope 0.5",
    "lrelu.1": "leaky ReLU, slope 0.1",
    "lrelu.01": "leaky ReLU, slope 0.01",
    "bn": "batch norm after the activation",
    "nonorm": "feedback that is not scaled to unit norm",
    "drop-high": "dropout 0.1 at the input, 0.5 inside",
    "drop-low": "dropout 0.1 at the input and inside",
}
NETS = {"fc": "3072-800-800-800-10, tanh", "conv": "three convolutions, two linear layers, tanh"}
Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # {name: the records of all seeds}


def render(results: Sequence[Mapping[str, Any]]) -> str:
    """The generated part of the page, one section for each preset of launay2019 that was run."""
    sections = [_section(result) for result in results]
    return "\n\n".join(section for section in sections if section) or "No results yet."


def _section(result: Mapping[str, Any]) -> str:
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        runs.setdefault(run["name"], []).append(run)
    parts = [_practices(runs, net) for net in NETS] + [_bottleneck(runs), _recipes(runs)]
    shown = [part for part in parts if part]
    return "\n\n".join([f"## Preset `{result['preset']}` on {result['dataset']}", *shown]) if shown else ""


def _practices(runs: Runs, net: str) -> str:
    names = [name for name in CHANGES if name.startswith(net) and name in runs]
    if len(names) < 2:
        return ""
    plain = f"{net}-tanh"
    control = runs.get(f"bp-{baseline(plain)}", [])
    layers = _layers(runs[plain])
    first = runs[plain]
    rows = [[NETS[net], str(_seeds(first)), _accuracy(first), "", _cosines(first, layers), _accuracy(control), ""]]
    for name in names:
        if name != plain:
            of, gains = runs[name], _gains(runs[name], first)
            gain = f"{fmean(gains):+.1f}" if gains else "-"
            tuned = _accuracy(runs.get(f"bp-{baseline(name)}", []))
            change = WORDS[name.removeprefix(f"{net}-")]
            so = _verdict(of, first)
            rows.append([change, str(_seeds(of)), _accuracy(of), gain, _cosines(of, layers), tuned, so])
    head = ["", "seeds", "test accuracy (%)", "gain (points)", "cosine per layer", "tuned backprop (%)", "conclusion"]
    title = f"### Which practice, {'fully connected' if net == 'fc' else 'convolutional'}"
    shared = "A gain is over the seeds that a row and the first row have in common."
    return "\n\n".join([title, f"{_length(first)} {shared}", table(head, rows)])


def _gains(changed: Sequence[Mapping[str, Any]], plain: Sequence[Mapping[str, Any]]) -> list[float]:
    """Points of test accuracy above `plain`, of each seed that both have."""
    before = {record["seed"]: record["metrics"].get("test/accuracy") for record in plain}
    after = {record["seed"]: record["metrics"].get("test/accuracy") for record in changed}
    return [after[seed] - before[seed] for seed in after if None not in (after[seed], before.get(seed))]


def _verdict(changed: Sequence[Mapping[str, Any]], plain: Sequence[Mapping[str, Any]]) -> str:
    """The conclusion from the 95 % interval of the gain, over the seeds that both have. Few or short runs give none."""
    gains = _gains(changed, plain)
    if len(gains) < SEEDS or any(r["settings"]["max_steps"] >= 0 or r["settings"]["epochs"] < EPOCHS for r in changed):
        return "too few or too short runs"
    _, _, interval = mean_and_interval(gains)
    assert interval is not None
    low, high = interval
    if low > MATTERS or high < -MATTERS:
        return "use it" if low > 0 else "avoid it"
    return "no difference" if low > -MATTERS and high < MATTERS else "undecided"


def _bottleneck(runs: Runs) -> str:
    sizes = [size for size in PAPER.sizes if any(bottleneck_name(v, size) in runs for v in VARIANTS)]
    if not sizes:
        return ""

    def cells(size: int) -> list[str]:
        found = [str(size)]
        for variant in VARIANTS:
            of = runs.get(bottleneck_name(variant, size), [])
            cosine = f"{_mean(of, 'cosine/' + second(variant)):.2f}" if of else "-"
            found += [_accuracy(of), cosine]
        return found

    head = ["width", *(cell for v in VARIANTS for cell in (f"{v}: test (%)", "cosine"))]
    shown = [runs[name] for size in sizes for v in VARIANTS if (name := bottleneck_name(v, size)) in runs]
    return "\n\n".join(
        ["### How narrow may a layer be", f"{_length(shown[0])} {_each(shown)}", table(head, map(cells, sizes))]
    )


def _recipes(runs: Runs) -> str:
    parts = []
    for net in PAPER.recipes:
        names = [(rule, f"{net}-{rule}") for rule in RECIPE_RULES if f"{net}-{rule}" in runs]
        if not names:
            continue
        best = runs.get(f"{net}-bp", [])
        rows = []
        for rule, name in names:
            chosen = sorted({f"{r['settings']['activation']}, {r['settings']['learning_rate']:g}" for r in runs[name]})
            behind = _gains(best, runs[name])
            shown = f"{fmean(behind):.1f}" if behind else "-"
            rows.append([TITLES[rule], _accuracy(runs[name]), shown, "; ".join(chosen)])
        tried = [name for name in runs if name.startswith(f"{names[0][1]}/")]
        trial = runs[tried[0]][0]["settings"] if tried else {}
        effort = (
            f"Tuning effort: {len(tried)} runs of {_steps(trial)} for each rule, judged on {trial['held_out']} held-out "
            "training samples. "
            if tried
            else ""
        )
        channels = runs[names[0][1]][0]["settings"]["channels"]
        title = {"conv": "convolutional net with batch norm", "vgg": "VGG-11 with batch norm"}[net]
        title += f", {channels:g} of its channels" if channels != 1 else ""
        head = ["rule", "test accuracy (%)", "points behind backprop", "chosen activation, rate"]
        length = f"{effort}{_length(runs[names[0][1]])} {_each([runs[name] for _, name in names])}"
        parts.append("\n\n".join([f"### At equal effort: {title}", length, table(head, rows)]))
    return "\n\n".join(parts)


def _length(records: Sequence[Mapping[str, Any]]) -> str:
    settings = records[0]["settings"]
    samples = settings["train_samples"]
    part = f" of {samples} training samples" if samples else ""
    return f"Trained for {_steps(settings)}{part}, {settings['optimizer'].upper()}."


def _seeds(records: Sequence[Mapping[str, Any]]) -> int:
    return len({record["seed"] for record in records})


def _each(rows: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """The number of seeds of each row, or the least and the largest."""
    least, most = min(map(_seeds, rows)), max(map(_seeds, rows))
    return f"{most} seed{'s' * (most > 1)} each." if least == most else f"{least} to {most} seeds each."


def _steps(settings: Mapping[str, Any]) -> str:
    if settings["max_steps"] >= 0:
        return f"{settings['max_steps']} steps"
    return f"{settings['epochs']} epoch{'s' * (settings['epochs'] > 1)}"


def _layers(records: Sequence[Mapping[str, Any]]) -> list[int]:
    names = (name.partition("/") for name in records[0]["metrics"])
    return sorted(int(layer) for kind, _, layer in names if kind == "cosine")


def _cosines(records: Sequence[Mapping[str, Any]], layers: Sequence[int]) -> str:
    return " ".join(f"{_mean(records, f'cosine/{layer}'):.2f}" for layer in layers)


def _accuracy(records: Sequence[Mapping[str, Any]]) -> str:
    values = _values(records, "test/accuracy")
    if not values:
        return "-"
    mean, _, interval = mean_and_interval(values)
    return f"{mean:.1f}" + (f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else "")


def _mean(records: Sequence[Mapping[str, Any]], name: str) -> float:
    values = _values(records, name)
    return fmean(values) if values else float("nan")


def _values(records: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    values = (record["metrics"].get(name) for record in records)
    return [float(value) for value in values if value is not None]
