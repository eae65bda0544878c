"""Finds the results to report on: the newest of each paper."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replications.errors import ReplicationError
from replications.experiment import registry
from replications.experiment.results import FILE, read
from replications.judging.presets import options
from replications.reporting.committed import RESULTS, folders

SECTIONS = ("Paper", "Claims", "Set-up", "Differences", "Cost")


@dataclass(frozen=True)
class Found:
    """The results of one replication.

    folder: the folder with results.json, figures/ and wandb/
    content: the content of results.json
    """

    folder: Path
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """The paper's name."""
        return str(self.content["paper"])

    @property
    def anchor(self) -> str:
        """The anchor on the page. It names the preset, because a page may show several presets of one paper."""
        return f"{self.name}-{self.content['preset']}"

    @property
    def title(self) -> str:
        """The paper's title, or its name where the paper is not in this package."""
        return registry.load(self.name).title if self.name in registry.names() else self.name

    @property
    def figures(self) -> list[Path]:
        """One file per figure, sorted by name: the SVG if it exists, else the PNG."""
        folder = self.folder / "figures"
        stems = {path.stem: path for suffix in (".png", ".svg") for path in folder.glob(f"*{suffix}")}
        return [stems[stem] for stem in sorted(stems)]

    def caption(self, figure: str) -> str:
        """The caption of a figure from the paper's captions.json; empty if there is none."""
        return registry.load(self.name).captions.get(figure, "") if self.name in registry.names() else ""

    @property
    def command(self) -> str:
        """The command that repeats the replication."""
        seeds = len({run["seed"] for run in self.content["runs"]})
        return (
            f"python -m replications {self.name} {options(self.content['preset'])} --seeds {seeds} "
            f"--dataset {self.content['dataset'].split()[0]}"
        )

    @property
    def offline_runs(self) -> list[Path]:
        """The folders of offline W&B runs that were not synced yet."""
        return [path for path in sorted(self.folder.glob("wandb/offline-run-*")) if not list(path.glob("*.synced"))]

    def section(self, heading: str) -> str:
        """A section of the docstring of the paper's package, such as "Differences"; empty if there is none."""
        if self.name not in registry.names():
            return ""
        text = inspect.cleandoc(registry.docstring(self.name)) + "\n"
        found = re.search(rf"^{heading}\n((?:[ \t]+.*\n|\n)+)", text, re.MULTILINE)
        return inspect.cleandoc(found.group(1)) if found else ""


def find(targets: Sequence[str], runs: Path, committed: Path = RESULTS) -> list[Found]:
    """The newest results under `runs` of each paper in `targets`, or the paper's committed results if `runs` has none.

    Empty `targets` mean all papers. A target may also be a folder that holds a results.json.
    """
    names = {folder.parent.name for root in (runs, committed) for folder in folders(root)}
    if not (targets or names):
        raise ReplicationError(
            f"Expected results under {runs} but found none. Run `python -m replications list` to see what can be replicated."
        )
    return [found for target in targets or sorted(names) for found in _of(target, runs, committed)]


def _of(target: str, runs: Path, committed: Path) -> list[Found]:
    """The newest result under `runs`, else the committed results, one of each preset."""
    if (Path(target) / FILE).exists():
        return [_read(Path(target))]
    # only a name is looked up, because glob refuses absolute paths
    named = Path(target).name == target
    newest, kept = (folders(root, target) if named else [] for root in (runs, committed))
    chosen = sorted(newest, key=lambda folder: (folder / FILE).stat().st_mtime)[-1:] or kept
    if not chosen and (not named or Path(target).is_dir()):
        raise ReplicationError(
            f"Expected {FILE} in the folder {target} but there is none, because no run there is finished. The command that "
            f"began the run continues it with --out {target}."
        )
    if not chosen:
        raise ReplicationError(
            f"Expected results of {target!r} under {runs} but found none. Run `python -m replications {target}` first, or "
            "name the folder that holds its results.json."
        )
    return [_read(folder) for folder in chosen]


def _read(folder: Path) -> Found:
    return Found(folder, read(folder / FILE))
