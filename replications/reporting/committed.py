"""Results that are committed with the code, in replications/results/<paper>/<preset>/."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replications.errors import ReplicationError
from replications.experiment.registry import load, names
from replications.experiment.results import FILE, read
from replications.judging.presets import PRESETS, base
from replications.judging.verdicts import by_seed, judged, rest

RESULTS = Path(__file__).parents[1] / "results"
LONGEST_FIRST = PRESETS[::-1]
"""The presets in reading order. A claim that is judged in a longer preset needs no verdict in a shorter preset."""


def folders(root: Path = RESULTS, paper: str = "*") -> list[Path]:
    """The folders with results, sorted by paper and then from full to smoke. Names that are no preset come last."""
    found = (path.parent for path in root.glob(f"{paper}/*/{FILE}"))
    return sorted(found, key=lambda folder: place(folder.parent.name, folder.name))


def committed(root: Path = RESULTS) -> list[dict[str, Any]]:
    """The results of all papers, in the order of :func:`folders`."""
    return [_checked(folder) for folder in folders(root)]


def judge_again(root: Path = RESULTS, *, check: bool) -> bool:
    """Whether the claims in every results.json are as the code judges them. Stale claims are rewritten unless `check`."""
    current = True
    for folder in folders(root):
        content = _checked(folder)
        if content["paper"] in names() and (fresh := judged_again(content)) != content:
            current = False
            if not check:
                (folder / FILE).write_text(json.dumps(fresh, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return current


def judged_again(content: Mapping[str, Any]) -> dict[str, Any]:
    """The results with the claims as the code now states and judges them. Experiments without any run are left out."""
    paper, preset = load(content["paper"]), content["preset"]
    seeds = by_seed(content["runs"], sorted({run["seed"] for run in content["runs"]}))
    records = judged(paper.claims, seeds, preset, content["dataset"], paper.experiments)
    experiment = {claim.id: claim.experiment for claim in paper.claims}
    begun = {experiment[record["id"]] for record in records if record["n"]}
    kept = [record for record in records if experiment[record["id"]] in begun]
    left = rest(paper.name, paper.claims, paper.seeds[base(preset)], preset, kept)
    return {**content, "environment": content["environment"] | {"rest": left}, "claims": kept}


def place(paper: str, preset: str) -> tuple[str, int, str]:
    """The sort key of a paper and a preset: by paper, then from full to smoke. Names that are no preset come last."""
    return paper, LONGEST_FIRST.index(preset) if preset in PRESETS else len(PRESETS), preset


def _checked(folder: Path) -> dict[str, Any]:
    """The results in `folder`. Raises ReplicationError if the folder names another paper or preset."""
    results = read(folder / FILE)
    named = (folder.parent.name, folder.name)
    if named != (results["paper"], results["preset"]):
        raise ReplicationError(
            f"Expected {'/'.join(named)}/{FILE} to be of this paper and preset but it is of {results['paper']}, preset "
            f"{results['preset']}. Move the folder."
        )
    return results
