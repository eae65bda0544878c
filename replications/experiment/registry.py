"""Papers are the modules of `replications.papers`: gilmer2017, lillicrap2014, ..."""

import ast
import difflib
import importlib
import importlib.util
import json
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from replications.errors import ReplicationError
from replications.judging.claims import Claim

ALL = "all"
CLOSE = 0.75
"""Similarity from which a name is suggested. gilmer2018 suggests gilmer2017, whereas fig99 does not suggest fig4."""
PAPERS = "replications.papers"


@dataclass(frozen=True)
class Paper:
    """The definitions of a paper's module. The module uses these names in capitals, except for its function run(session)."""

    name: str
    title: str
    experiments: Mapping[str, str]
    presets: Mapping[str, Any]
    seeds: Mapping[str, int]
    datasets: Sequence[str]
    claims: Sequence[Claim]
    run: Callable[..., None]
    beside: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # BESIDE: {data set: others that are read with it}
    captions: Mapping[str, str] = field(default_factory=dict)  # captions.json: {figure: caption}
    pages: Mapping[str, Callable[..., str]] = field(default_factory=dict)  # PAGES: {path: results -> text}


def names() -> list[str]:
    """The names of all papers, found without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(PAPERS).__path__))


def load(name: str) -> Paper:
    """The paper `name`."""
    expect_known("paper", name, names())
    return from_module(name, importlib.import_module(f"{PAPERS}.{name}"))


def docstring(name: str) -> str:
    """The docstring of the paper's package. It is parsed, because an import would take seconds."""
    spec = importlib.util.find_spec(f"{PAPERS}.{name}")
    if spec is None or spec.origin is None:
        return ""
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""


def cost(name: str) -> str:
    """The section "Cost" of the paper's docstring, in one line."""
    _, _, rest = docstring(name).partition("\nCost\n")
    return " ".join(re.split(r"\n(?=\S)", rest)[0].split())


def from_module(name: str, module: ModuleType) -> Paper:
    """The paper that `module` describes. Raises TypeError, which lists the missing definitions."""
    capitals = ("TITLE", "EXPERIMENTS", "PRESETS", "SEEDS", "DATASETS", "CLAIMS")
    missing = [attribute for attribute in (*capitals, "run") if not hasattr(module, attribute)]
    if missing:
        raise TypeError(f"Expected {module.__name__} to define {', '.join(missing)}.")
    fields = {attribute.lower(): getattr(module, attribute) for attribute in capitals}
    optional = {attribute.lower(): getattr(module, attribute, {}) for attribute in ("BESIDE", "PAGES")}
    return Paper(name=name, run=module.run, captions=_captions(module), **fields, **optional)


def _captions(module: ModuleType) -> dict[str, str]:
    """The content of the captions.json beside the module's file; empty if there is no such file."""
    path = Path(module.__file__).parent / "captions.json" if module.__file__ else None
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}
    return found


def expand(targets: Sequence[str]) -> list[str]:
    """The targets, with "all" replaced by the names of all papers."""
    return [name for target in targets for name in (names() if target == ALL else [target])]


def select(target: str) -> tuple[Paper, tuple[str, ...]]:
    """The paper and the experiments of a target "paper", "paper/experiment" or "paper/experiment,experiment"."""
    name, slash, listed = target.partition("/")
    if "," in name:
        raise ReplicationError(
            f"Expected one paper in {target!r}. Separate papers by spaces ({name.replace(',', ' ')}); commas are for the "
            "experiments of one paper."
        )
    paper = load(name)
    if not slash:
        return paper, tuple(paper.experiments)
    chosen = tuple(dict.fromkeys(listed.split(",")))
    for experiment in chosen:
        expect_known(f"experiment of {name}", experiment, list(paper.experiments))
    return paper, chosen


def expect_known(what: str, name: str, known: list[str]) -> None:
    """Raise ReplicationError if `name` is not in `known`. The error lists `known` and suggests a similar name."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)
        hint = f" Did you mean {near[0]}?" if near else ""
        article = "an" if what[0] in "aeiou" else "a"
        raise ReplicationError(f"Expected {article} {what} out of {', '.join(known)} but got {name!r}.{hint}")
