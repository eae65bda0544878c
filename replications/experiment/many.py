"""Many seeds computed at once, as one batch: their common log, with a column for each seed."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger
from torch import Tensor

from replications.experiment.loggers import Curve, read_curve
from replications.experiment.run import Run, together
from replications.experiment.session import Session


class SeedLog:
    """Sends what was measured in all seeds to the loggers."""

    def __init__(self, loggers: Sequence[Logger], seeds: Sequence[int]) -> None:
        self.loggers, self.seeds = loggers, seeds

    def __call__(self, step: int, numbers: Mapping[str, Tensor]) -> None:
        """`numbers`: name -> [seeds]."""
        columns = {
            f"{name}/seed{seed}": value
            for name, values in numbers.items()
            for seed, value in zip(self.seeds, values.tolist(), strict=True)
        }
        for logger in self.loggers:
            logger.log_metrics(columns, step=step)


@contextmanager
def seed_log(session: Session, runs: Sequence[Run]) -> Iterator[SeedLog]:
    """The log of runs that differ in their seeds alone: one CSV file and one W&B run, complete when the block ends."""
    folder = session.logs / together(runs)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seeds = [run.seed for run in runs]
    with session.loggers(together(runs), runs[0], seeds=len(seeds)) as loggers:
        yield SeedLog(loggers, seeds)
        for logger in loggers:
            logger.save()


def read_seeds(session: Session, runs: Sequence[Run]) -> list[Curve]:
    """What `seed_log` wrote: for each seed {name: {step: value}}."""
    curve = read_curve(log_file(session, runs))
    ends = {run.seed: f"/seed{run.seed}" for run in runs}
    return [
        {name.removesuffix(end): line for name, line in curve.items() if name.endswith(end)} for end in ends.values()
    ]


def log_file(session: Session, runs: Sequence[Run]) -> Path:
    """The CSV file of `seed_log`."""
    return session.logs / together(runs) / "metrics.csv"
