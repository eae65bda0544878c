"""Every stage at its own pace: what Lightning would have all processes wait for in every step."""

from __future__ import annotations

from functools import partial

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

ASKS = "_broadcast_sigterm_tensor"
"""By this method of its training loop Lightning (since 2.6) asks rank 0, before every batch, whether to end."""


def own_pace(trainer: Trainer) -> None:
    """Let a process ask itself whether it was told to end, as Lightning forwards SIGTERM to all that it has started.

    Asking rank 0, which holds the last stage, the others would begin no batch before that stage has ended the one before.
    """
    loop = trainer.fit_loop.epoch_loop
    if hasattr(loop, ASKS):
        loop.__dict__[ASKS] = partial(_end_if_told, trainer)


def common_pace(trainer: Trainer) -> None:
    """Undo :func:`own_pace`."""
    trainer.fit_loop.epoch_loop.__dict__.pop(ASKS, None)


def _end_if_told(trainer: Trainer) -> None:
    if getattr(trainer, "received_sigterm", False):
        raise SIGTERMException
