"""What there is to report on: the newest results of each paper."""

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

    folder: where results.json lies, with figures/ and wandb/ beside it
    content: of results.json
    """

    folder: Path
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """The paper's name."""
        return str(self.content["paper"])

    @property
    def anchor(self) -> str:
        """What the page calls it: a paper may be there in several presets."""
        return f"{self.name}-{self.content['preset']}"

    @property
    def title(self) -> str:
        """The paper's title, or its name where the paper is not in this package."""
        return registry.load(self.name).title if self.name in registry.names() else self.name

    @property
    def figures(self) -> list[Path]:
        """One file per figure, the SVG where there is one, in the order of their names."""
        folder = self.folder / "figures"
        stems = {path.stem: path for suffix in (".png", ".svg") for path in folder.glob(f"*{suffix}")}
        return [stems[stem] for stem in sorted(stems)]

    def caption(self, figure: str) -> str:
        """What the paper's module says that a figure shows; empty if it says nothing."""
        return registry.load(self.name).captions.get(figure, "") if self.name in registry.names() else ""

    @property
    def command(self) -> str:
        """What repeats it."""
        seeds = len({run["seed"] for run in self.content["runs"]})
        return (
            f"python -m replications {self.name} {options(self.content['preset'])} --seeds {seeds} "
            f"--dataset {self.content['dataset'].split()[0]}"
        )

    @property
    def offline_runs(self) -> list[Path]:
        """W&B runs that wait to be synced."""
        return [path for path in sorted(self.folder.glob("wandb/offline-run-*")) if not list(path.glob("*.synced"))]

    def section(self, heading: str) -> str:
        """A section of the docstring of the paper's package, such as "Differences"; empty if there is none."""
        if self.name not in registry.names():
            return ""
        text = inspect.cleandoc(registry.docstring(self.name)) + "\n"
        found = re.search(rf"^{heading}\n((?:[ \t]+.*\n|\n)+)", text, re.MULTILINE)
        return inspect.cleandoc(found.group(1)) if found else ""


def find(targets: Sequence[str], runs: Path, committed: Path = RESULTS) -> list[Found]:
    """The newest results under `runs` of each paper in `targets`, or else its committed ones; of all papers if empty.

    A target may also be a folder that holds a results.json.
    """
    names = {folder.parent.name for root in (runs, committed) for folder in folders(root)}
    if not (targets or names):
        raise ReplicationError(
            f"Expected results under {runs} but found none. Run `python -m replications list` to see what can be replicated."
        )
    return [found for target in targets or sorted(names) for found in _of(target, runs, committed)]


def _of(target: str, runs: Path, committed: Path) -> list[Found]:
    """One result where there is a newest one, else one for each preset."""
    if (Path(target) / FILE).exists():
        return [_read(Path(target))]
    # a path is no name, and glob takes no absolute one
    named = Path(target).name == target
    newest, kept = (folders(root, target) if named else [] for root in (runs, committed))
    chosen = sorted(newest, key=lambda folder: (folder / FILE).stat().st_mtime)[-1:] or kept
    if not chosen and (not named or Path(target).is_dir()):
        raise ReplicationError(
            f"Expected {FILE} in the folder {target} but there is none: no run there is finished. The command that began it "
            f"goes on with --out {target}."
        )
    if not chosen:
        raise ReplicationError(
            f"Expected results of {target!r} under {runs} but found none. Run `python -m replications {target}` first, or "
            "name the folder that holds its results.json."
        )
    return [_read(folder) for folder in chosen]


def _read(folder: Path) -> Found:
    return Found(folder, read(folder / FILE))
