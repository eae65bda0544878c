"""Logs of runs without a Trainer, in the same CSV file and W&B run: of one run, or of many seeds computed together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from replications.experiment.fit import quiet_lightning
from replications.experiment.loggers import Curve, read_curve
from replications.experiment.run import Run, together
from replications.experiment.session import Session

Send = Callable[[int, Mapping[str, float]], None]
SendSeeds = Callable[[int, Mapping[str, Tensor]], None]


@contextmanager
def logged(session: Session, run: Run) -> Iterator[Send]:
    """A function that logs numbers at a step. The logs are complete when the `with` block ends."""
    with _log(session, run.label, run, seed=run.seed) as send:
        yield send


@contextmanager
def seed_log(session: Session, runs: Sequence[Run]) -> Iterator[SendSeeds]:
    """Like :func:`logged`, for runs that differ only in their seeds. One log holds a column per number and seed."""
    with _log(session, together(runs), runs[0], seeds=len(runs)) as send:

        def send_seeds(step: int, numbers: Mapping[str, Tensor]) -> None:
            each = ((name, zip(runs, values.tolist(), strict=True)) for name, values in numbers.items())
            send(step, {f"{name}/seed{run.seed}": value for name, of_seeds in each for run, value in of_seeds})

        yield send_seeds


@contextmanager
def _log(session: Session, label: str, run: Run, **config: Any) -> Iterator[Send]:
    with quiet_lightning(), session.loggers(label, run, **config) as loggers:

        def send(step: int, numbers: Mapping[str, float]) -> None:
            for logger in loggers:
                logger.log_metrics(dict(numbers), step=step)

        yield send
        for logger in loggers:
            logger.finalize("success")


def read_seeds(session: Session, runs: Sequence[Run]) -> list[Curve]:
    """The numbers that `seed_log` wrote, for each seed as {name: {step: value}}."""
    curve = read_curve(log_file(session, runs))
    ends = {run.seed: f"/seed{run.seed}" for run in runs}
    return [
        {name.removesuffix(end): line for name, line in curve.items() if name.endswith(end)} for end in ends.values()
    ]


def log_file(session: Session, runs: Sequence[Run]) -> Path:
    """The CSV file of `seed_log`."""
    return session.logs / together(runs) / "metrics.csv"
