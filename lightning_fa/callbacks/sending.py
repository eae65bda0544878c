"""Where numbers, tables, figures and histograms go: to every logger what it can show."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from torch import Tensor

log = logging.getLogger("lightning_fa.callbacks")


def _survives(send: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(send)
    def sent(trainer: Trainer, *args: Any) -> None:
        for logger in trainer.loggers if trainer.is_global_zero else ():
            try:
                send(logger, trainer.global_step, *args)
            except Exception as error:
                if not isinstance(logger, WandbLogger):
                    raise
                # A service that dies must not end a training that may have run for days.
                log.warning("W&B did not take %s (%s: %s). Training goes on.", args[0], type(error).__name__, error)

    return sent


@_survives
def send_numbers(logger: Logger, step: int, numbers: Mapping[str, float]) -> None:
    """Scalars, to every logger at once, whatever ``log_every_n_steps`` is: they are measured seldom enough."""
    logger.log_metrics(dict(numbers), step=step)


@_survives
def send_table(logger: Logger, step: int, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table, to W&B."""
    if isinstance(logger, WandbLogger):
        logger.log_table(key, columns=list(columns), data=[list(row) for row in rows], step=step)


@_survives
def send_figure(logger: Logger, step: int, key: str, draw: Callable[[], Any]) -> None:
    """A matplotlib figure, to W&B and TensorBoard; ``draw`` is called for these only."""
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
    """A histogram, to W&B and TensorBoard."""
    if isinstance(logger, WandbLogger):
        import wandb

        histogram: Any = wandb.Histogram(values.detach().float().cpu().flatten().numpy())  # type: ignore[arg-type]
        logger.log_metrics({key: histogram}, step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_histogram(key, values.detach().float().cpu(), step)
