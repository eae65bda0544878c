"""Lets every stage run at its own pace: removes the check for which Lightning makes all processes wait in every step."""

from __future__ import annotations

from functools import partial

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

ASKS = "_broadcast_sigterm_tensor"
"""The method by which Lightning's training loop (since 2.6) asks rank 0 before every batch whether to end."""


def own_pace(trainer: Trainer) -> None:
    """Let each process check by itself whether it was told to end. Lightning forwards SIGTERM to every process it has started.

    If a process asked rank 0, which runs the last stage, it could begin no batch before rank 0 had finished the last batch.
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
