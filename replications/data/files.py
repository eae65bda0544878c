"""Checks of data files whose size and checksum are known in advance."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from replications.errors import ReplicationError

REMEDY = (
    "Nothing was changed. Put an intact copy there, or name another folder by --data-dir or LIGHTNING_FA_DATA. "
    "`torchvision.datasets.MNIST(FOLDER, download=True)`, and CIFAR10 likewise, fill a folder with the published files. "
    "If the file is in the cache folder, delete it together with the files beside it: they are downloaded again."
)


@dataclass(frozen=True)
class KnownFile:
    """A file as published. `magic` is the big-endian number in its first four bytes, or None where there is no such number."""

    name: str
    md5: str
    size: int | None = None
    magic: int | None = None


def check_files(folder: Path, files: Iterable[KnownFile]) -> None:
    """Raise ReplicationError for the first file that is missing, truncated, or different from the published file."""
    for file in files:
        problem = _problem(folder / file.name, file)
        if problem:
            raise ReplicationError(f"{problem} {REMEDY}")


def _problem(path: Path, file: KnownFile) -> str | None:
    if not path.is_file():
        size = "" if file.size is None else f" of {file.size} bytes"
        return f"Expected a file{size} at {path} but there is none."
    content = path.read_bytes()
    if file.size is not None and len(content) != file.size:
        return f"Expected {path} to have {file.size} bytes but it has {len(content)}: it is truncated or another file."
    magic = int.from_bytes(content[:4], "big")
    if file.magic is not None and magic != file.magic:
        return f"Expected {path} to start with the magic number {file.magic} but got {magic}: it is another file."
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != file.md5:
        return f"Expected {path} to have the MD5 checksum {file.md5} but got {md5}: its content is damaged."
    return None
