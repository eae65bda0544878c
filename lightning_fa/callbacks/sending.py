"""Sends numbers, tables, figures and histograms to every logger that can show them."""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

log = logging.getLogger("lightning_fa.callbacks")
_SILENT: weakref.WeakSet[Any] = weakref.WeakSet()
"""Online W&B runs whose service no longer answers."""


def _survives(send: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(send)
    def sent(trainer: Trainer, *args: Any) -> None:
        for logger in trainer.loggers if trainer.is_global_zero else ():
            try:
                send(logger, trainer.global_step, *args)
            except Exception as error:
                if not isinstance(logger, WandbLogger):
                    raise
                # A service that fails must not end a training that may have run for days.
                log.warning("W&B did not accept %s (%s: %s). Training continues.", args[0], type(error).__name__, error)

    return sent


def send_numbers(trainer: Trainer, numbers: Mapping[str, float]) -> None:
    """Send scalars to every logger at once, whatever ``log_every_n_steps`` is, because they are measured seldom.

    The last value of each scalar is in ``trainer.callback_metrics``, where ModelCheckpoint and EarlyStopping find it.
    """
    trainer.callback_metrics.update({name: torch.tensor(float(value)) for name, value in numbers.items()})
    _log(trainer, numbers)


@_survives
def _log(logger: Logger, step: int, numbers: Mapping[str, float]) -> None:
    logger.log_metrics(dict(numbers), step=step)


@_survives
def send_table(logger: Logger, step: int, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Send a table to W&B."""
    if not isinstance(logger, WandbLogger):
        return
    data = [list(row) for row in rows]
    run = logger.experiment
    if run not in _SILENT:
        try:
            logger.log_table(key, columns=list(columns), data=data, step=step)
            return
        except Exception as error:
            if not hasattr(run, "log"):
                raise
            log.warning("W&B does not answer (%s). Tables are kept in the run's folder.", type(error).__name__)
            _SILENT.add(run)  # asking again would wait for the timeout again
    # `log_table` asks the service first, and writes no table without an answer. Here the table is written without asking.
    import wandb

    table: Any = wandb.Table(columns=list(columns), data=data)
    table.bind_to_run(run, key, run.step)
    logger.log_metrics({key: table.to_json(run)}, step=step)


@_survives
def send_figure(logger: Logger, step: int, key: str, draw: Callable[[], Any]) -> None:
    """Send a matplotlib figure to W&B and TensorBoard. ``draw`` is called for these loggers only."""
    if isinstance(logger, WandbLogger):
        figure = draw()
        logger.log_image(key, [figure], step=step)
    elif isinstance(logger, TensorBoardLogger):
        figure = draw()
        logger.experiment.add_figure(key, figure, step)
    else:
        return
    figure.clear()


@_survives
def send_histogram(logger: Logger, step: int, key: str, values: Tensor) -> None:
    """Send a histogram to W&B and TensorBoard."""
    if isinstance(logger, WandbLogger):
        import wandb

        histogram: Any = wandb.Histogram(values.detach().float().cpu().flatten().numpy())  # type: ignore[arg-type]
        logger.log_metrics({key: histogram}, step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_histogram(key, values.detach().float().cpu(), step)
