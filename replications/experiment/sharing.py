"""Several processes that were started with the same --out share its runs: each is trained by the one that claims it first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

FOLDER = "locks"


@contextmanager
def claimed(out: Path, label: str) -> Iterator[bool]:
    """Whether the run `label` is this process's, until the block or the process ends, however it ends."""
    lock = _lock(out, label)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Inside, no other process changes what `out` says."""
    with _lock(out, "results"):
        yield


def _lock(out: Path, name: str) -> BaseFileLock:
    path = out / FOLDER / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)
