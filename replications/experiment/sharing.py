"""Processes with the same --out share its runs: the first process that claims a run trains it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

FOLDER = "locks"


@contextmanager
def claimed(out: Path, label: str) -> Iterator[bool]:
    """Whether this process has claimed the run `label`. The claim ends with the `with` block, or when the process ends."""
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
    """Inside the `with` block no other process changes the results in `out`."""
    with _lock(out, "results"):
        yield


def _lock(out: Path, name: str) -> BaseFileLock:
    path = out / FOLDER / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)
