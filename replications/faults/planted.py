"""Which faults are planted in a paper: what the `faults.json` beside its module says."""

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

    A run's name may be a pattern with one `*`, which stands for the same text in both names; a name with `:` is one number
    of a run. Settings are those that take the place of preset smoke's.

    experiments: what Lightning trains, to be trained with nothing learnt; the others have loops of their own
    backprop: every left run has the numbers of the right one: of backpropagation, or of that with the mechanism off
    exchanged: two runs, or two numbers of a run, have each other's names; each entry is a fault of its own
    untrained: settings where preset smoke stops before the first moment that a claim is about, or has other sizes
    redrawn: settings of the runs in which B is drawn anew in every step, long enough for most claims to hold of a B that
        stays; without them there are no such runs
    redrawn_experiments: what is trained with them
    """

    experiments: str
    backprop: Pairs
    exchanged: Sequence[Pairs]
    untrained: Mapping[str, Any] = field(default_factory=dict)
    redrawn: Mapping[str, Any] = field(default_factory=dict)
    redrawn_experiments: str = ""


def planted_in(paper: str) -> Planted:
    """What is planted in `paper`."""
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
    """JSON has lists for tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
