"""Reads a data set from --data-dir, else from LIGHTNING_FA_DATA, else from a cache folder that is filled by download."""

import os
from pathlib import Path
from typing import Protocol

from replications.data import cifar10, digits, mnist
from replications.data.dataset import Dataset
from replications.data.download import DownloadError
from replications.errors import DataMissingError, ReplicationError


class _Reader(Protocol):
    """The functions that the module of a downloadable data set provides."""

    def read(self, root: Path) -> Dataset: ...

    def is_absent(self, root: Path) -> bool: ...

    def download(self, root: Path) -> None: ...


VARIABLE = "LIGHTNING_FA_DATA"
_READERS: dict[str, _Reader] = {"mnist": mnist, "cifar10": cifar10}
NAMES = (*_READERS, "digits")


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """The data set `name`, complete and checked. Raises ReplicationError, which says which file is wrong and what to do.

    If no folder was named and the download of MNIST fails, scikit-learn's digits stand in for MNIST. `stand_in_for` of the
    data set is then "mnist".
    """
    if name == "digits":
        return digits.read()
    if name not in _READERS:
        raise ReplicationError(f"Expected a data set out of {', '.join(NAMES)} but got {name!r}.")
    folder = _named_folder(data_dir)
    return _READERS[name].read(folder) if folder else _cached(name)


def _named_folder(data_dir: Path | None) -> Path | None:
    origin = "--data-dir" if data_dir else VARIABLE
    folder = data_dir or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if folder and not folder.is_dir():
        raise ReplicationError(f"Expected {origin} to name a folder but there is none at {folder}.")
    return folder


def _cached(name: str) -> Dataset:
    reader, folder = _READERS[name], cache_folder()
    if reader.is_absent(folder):
        try:
            reader.download(folder)
        except (DownloadError, OSError) as error:
            if name == "mnist":
                print(f"Could not download {name}: {error}")
                print(
                    "scikit-learn's digits stand in. The runs only show that the code works, "
                    f"and no claim about {name} is judged."
                )
                return digits.read(stand_in_for=name)
            raise DataMissingError(
                f"Expected {name} in {folder} or a network to download it from, but got neither: {error} "
                f"Name a folder that holds it by --data-dir or {VARIABLE}."
            ) from error
    return reader.read(folder)


def cache_folder() -> Path:
    """The folder for downloads: lightning-fa below $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lightning-fa"
