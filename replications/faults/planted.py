"""The faults that are planted in a paper, read from the `faults.json` beside its module."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replications.errors import ReplicationError
from replications.experiment.registry import PAPERS

Pairs = Sequence[tuple[str, str]]
FILE = "faults.json"


@dataclass(frozen=True, kw_only=True)
class Planted:
    """The keys of the file.

    A run's name may be a pattern with one `*`, which matches the same text in both names of a pair. A name with `:` means one
    number of a run. Settings replace settings of preset smoke.

    experiments: the experiments that a Trainer trains; they are trained with learning rate 0
    backprop: pairs of runs; the left run gets the numbers of the right run, which uses backpropagation or has the mechanism off
    exchanged: pairs of runs, or of numbers of a run, that exchange their names; each entry is one fault
    untrained: settings of the untrained runs, where those of preset smoke end too early for a claim or have other sizes
    redrawn: settings of the runs in which B is permuted in every step, long enough for most claims to hold with a fixed B;
        without these settings there are no such runs
    redrawn_experiments: the experiments that are trained with the settings `redrawn`
    """

    experiments: str
    backprop: Pairs
    exchanged: Sequence[Pairs]
    untrained: Mapping[str, Any] = field(default_factory=dict)
    redrawn: Mapping[str, Any] = field(default_factory=dict)
    redrawn_experiments: str = ""


def planted_in(paper: str) -> Planted:
    """The faults of `paper`. Raises ReplicationError if the file is missing."""
    spec = importlib.util.find_spec(f"{PAPERS}.{paper}")
    path = Path(spec.origin if spec and spec.origin else paper).parent / FILE
    if not path.is_file():
        raise ReplicationError(
            f"Expected {path}, which names the faults that the claims of {paper} must catch. Write it."
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    settings = {key: _as_settings(content.get(key, {})) for key in ("untrained", "redrawn")}
    return Planted(**{**content, **settings})


def _as_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists become tuples, which JSON does not have."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
