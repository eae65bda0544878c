"""Logs of runs that need no Trainer: the same CSV file and W&B run, from which figures and numbers are read."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from replications.experiment.fit import quiet_lightning
from replications.experiment.run import Run
from replications.experiment.session import Session

Send = Callable[[int, Mapping[str, float]], None]


@contextmanager
def logged(session: Session, run: Run) -> Iterator[Send]:
    """A function that logs numbers at a step; the logs are complete when the block ends."""
    folder = session.folder(run)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with quiet_lightning(), session.loggers(run.label, run, seed=run.seed) as loggers:

        def send(step: int, numbers: Mapping[str, float]) -> None:
            for logger in loggers:
                logger.log_metrics(dict(numbers), step=step)

        yield send
        for logger in loggers:
            logger.finalize("success")
