"""Several processes that were started with the same --out share its runs: each is trained by the one that claims it first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not on Windows, where a folder belongs to one process
    fcntl = None

FOLDER = "locks"


@contextmanager
def claimed(out: Path, label: str) -> Iterator[bool]:
    """Whether the run `label` is this process's, until the block or the process ends, however it ends."""
    if fcntl is None:
        yield True
        return
    with _open(out, label) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Inside, no other process changes what `out` says."""
    with _open(out, "results") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open(out: Path, name: str) -> IO[str]:
    path = out / FOLDER / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w")
