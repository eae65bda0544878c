"""The data of a paper: its data set, the data sets that are read with it, and the stand-in."""

from collections.abc import Callable
from pathlib import Path

from replications.data import Dataset, digits
from replications.errors import DataMissingError, ReplicationError
from replications.experiment.registry import Paper

Load = Callable[[str, Path | None], Dataset]


def data_of(paper: Paper, name: str | None, folder: Path | None, load: Load, *, stand_in: bool) -> Dataset:
    """The data set `name`, or the paper's first. With `stand_in`, digits replace data that are missing."""
    wanted = name or paper.datasets[0]
    if wanted not in paper.datasets:
        raise ReplicationError(
            f"Expected --dataset for {paper.name} out of {', '.join(paper.datasets)} but got {wanted!r}."
        )
    try:
        return _complete(paper, load(wanted, folder), folder, load)
    except DataMissingError as error:
        if not stand_in or "digits" not in paper.datasets:
            raise
        print(f"{paper.name}: {error}")
        return digits.read(stand_in_for=wanted)


def _complete(paper: Paper, data: Dataset, folder: Path | None, load: Load) -> Dataset:
    """`data`, after a check that the data sets that the paper reads with it exist too."""
    for other in paper.beside.get(data.name, ()):
        if load(other, folder).stand_in_for:
            raise DataMissingError(
                f"Expected {other} beside {data.name} but it is not here and could not be downloaded. Name a folder that "
                "holds both by --data-dir or LIGHTNING_FA_DATA, or use --dataset digits."
            )
    return data
