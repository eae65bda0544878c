"""results.json: one object per replication, on disk after every finished run."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replications.errors import ReplicationError
from replications.experiment.sharing import alone

FILE = "results.json"
KEYS = ("paper", "preset", "dataset", "environment", "claims", "runs")
CLAIM_KEYS = ("id", "statement", "expected", "tolerance", "value", "std", "interval", "n", "verdict", "source")
# A run in the file is the requested run if the two agree in these keys.
IDENTITY = ("experiment", "name", "rule", "seed", "settings", "dataset", "hardware")


class Results:
    """The results of one output folder. Every change replaces the whole file at once."""

    def __init__(self, folder: Path, paper: str, preset: str, dataset: str) -> None:
        self.folder, self.path = folder, folder / FILE
        self.content: dict[str, Any] = {"paper": paper, "preset": preset, "dataset": dataset}
        self.content |= {"environment": {}, "claims": [], "runs": []}
        self.refresh()

    def refresh(self) -> None:
        """Read the file again, because an earlier call of the command, or another process, may have written results."""
        if not self.path.exists():
            return
        earlier = read(self.path)
        for key in ("paper", "preset", "dataset"):
            if earlier[key] != self.content[key]:
                raise ReplicationError(
                    f"Expected the results in {self.path} to be of {key} {self.content[key]!r} but they are of "
                    f"{earlier[key]!r}. Choose another --out."
                )
        self.content = earlier

    def finished(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """The record of a finished run with this identity, if there is one."""
        wanted = json.loads(json.dumps(identity))
        same = (run for run in self.content["runs"] if all(run.get(key) == wanted[key] for key in IDENTITY))
        return next(same, None)

    def add_run(self, record: dict[str, Any]) -> None:
        """Keep a finished run."""
        with self._change():
            self.content["runs"].append(record)

    def conclude(self, environment: dict[str, Any], claims: list[dict[str, Any]]) -> None:
        """Keep the environment and the judged claims."""
        with self._change():
            self.content |= {"environment": environment, "claims": claims}

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Read the file again, and write it after the `with` block. Raises ReplicationError if the disk refuses."""
        try:
            with alone(self.folder):
                self.refresh()
                yield
                self.write()
        except OSError as error:
            raise ReplicationError(
                f"Expected to write {self.path} but got: {error}. Make room or make the folder writable"
            ) from error

    def write(self) -> None:
        """Replace the file in one step, so that an interruption leaves the previous content."""
        unfinished = self.path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(unfinished, self.path)


def read(path: Path) -> dict[str, Any]:
    """The content of a results.json. Raises ReplicationError if it is not JSON or lacks keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReplicationError(
            f"Expected JSON in {path} but got: {error}. Move it away or choose another --out."
        ) from error
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ReplicationError(f"Expected {path} to have the keys {', '.join(KEYS)} but it lacks {', '.join(missing)}.")
    return dict(content)
