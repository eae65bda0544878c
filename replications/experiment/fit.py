"""One training with Lightning (Trainer, loggers, test), the same for all papers."""

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import Strategy

from lightning_fa.callbacks import RuleConfig
from replications.data import Dataset, batches
from replications.experiment.environment import commit
from replications.experiment.loggers import Curve
from replications.experiment.progress import ShowSteps
from replications.experiment.run import Run
from replications.experiment.session import Session


def fit(
    session: Session,
    run: Run,
    module: LightningModule,
    strategy: Strategy,
    data: Dataset,
    callbacks: Sequence[Callback],
) -> Curve:
    """Train and test `module` on one data set; returns all logged numbers, read from the CSV log.

    `run.settings` has the fields batch_size, epochs and max_steps (-1 for no limit).
    """
    train = batches(data.train_inputs, data.train_labels, run.settings.batch_size, shuffle_seed=run.seed)
    test = batches(data.test_inputs, data.test_labels, 1000)
    return fit_loaders(session, run, module, strategy, train, test, callbacks, steps_per_epoch=len(train))


def fit_loaders(
    session: Session,
    run: Run,
    module: LightningModule,
    strategy: Strategy,
    train: Iterable[Any],
    test: Iterable[Any],
    callbacks: Sequence[Callback],
    *,
    steps_per_epoch: int,
) -> Curve:
    """Like :func:`fit`, for loaders of any batches, such as batches from several data sets."""
    settings = run.settings
    shown = [ShowSteps(session.loop.progress)] if session.loop.progress else []
    with quiet_lightning(), session.loggers(run.label, run, seed=run.seed) as logged_to:
        trainer = Trainer(
            strategy=strategy,
            max_epochs=settings.epochs,
            max_steps=settings.max_steps,
            logger=logged_to,
            log_every_n_steps=min(50, steps_per_epoch),
            callbacks=[RuleConfig({"commit": commit()}), *callbacks, *shown],
            **quiet_trainer(session),
        )
        trainer.fit(module, train)
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.test(module, test, verbose=False)
    return session.curve(run)


def quiet_trainer(session: Session) -> dict[str, Any]:
    """The Trainer's arguments that do not depend on the run."""
    return {
        **asdict(session.loop.hardware),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": session.out,
    }


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silences Lightning's notes about hardware, worker processes (tensors in memory need none) and its own deprecated calls."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Lightning 2.6 with torch 2.15
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
            yield
    finally:
        log.setLevel(level)
