"""Results that are kept with the code: replications/results/<paper>/<preset>/, from the papers' output folders."""

import json
from pathlib import Path
from typing import Any

from replications.errors import ReplicationError
from replications.judging import judged_again
from replications.presets import PRESETS
from replications.registry import names
from replications.results import FILE, read

RESULTS = Path(__file__).parent / "results"
LONGEST_FIRST = PRESETS[::-1]
"""What one of them has judged needs no verdict of the next."""


def folders(root: Path = RESULTS, paper: str = "*") -> list[Path]:
    """Where results lie, by the name of the paper and from full to smoke; a name that is not one of these comes last."""
    return sorted((path.parent for path in root.glob(f"{paper}/*/{FILE}")), key=_place)


def committed(root: Path = RESULTS) -> list[dict[str, Any]]:
    """The results of all papers in this order."""
    return [_checked(folder) for folder in folders(root)]


def judge_again(root: Path = RESULTS, *, check: bool) -> bool:
    """Whether every result had the claims as the code judges them; they are rewritten unless `check`."""
    current = True
    for folder in folders(root):
        content = _checked(folder)
        if content["paper"] in names() and (fresh := judged_again(content)) != content:
            current = False
            if not check:
                (folder / FILE).write_text(json.dumps(fresh, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return current


def _place(folder: Path) -> tuple[str, int, str]:
    known = LONGEST_FIRST.index(folder.name) if folder.name in PRESETS else len(PRESETS)
    return folder.parent.name, known, folder.name


def _checked(folder: Path) -> dict[str, Any]:
    """The results, after a look whether they are of the paper and the preset that their folders are called after."""
    results = read(folder / FILE)
    named = (folder.parent.name, folder.name)
    if named != (results["paper"], results["preset"]):
        raise ReplicationError(
            f"Expected {'/'.join(named)}/{FILE} to be of this paper and preset but it is of {results['paper']}, preset "
            f"{results['preset']}. Move the folder."
        )
    return results
