"""Lets every stage run at its own pace: removes the check for which Lightning makes all processes wait in every step.

A stage that ends an epoch early must not do so alone. That is checked when it happens, and costs nothing before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

ASKS = "_broadcast_sigterm_tensor"
"""The method by which Lightning's training loop (since 2.6) asks rank 0 before every batch whether to end."""
ADVANCED = "on_advance_end"
"""The method that Lightning's training loop calls after every batch, before a validation."""


def own_pace(trainer: Trainer, ends: Callable[[], None], agree: Callable[[bool], bool]) -> None:
    """Let each process check by itself whether it was told to end. Lightning forwards SIGTERM to every process it has started.

    If a process asked rank 0, which runs the last stage, it could begin no batch before rank 0 had finished the last batch.

    Args:
        trainer: The Trainer.
        ends: Called where this process leaves an epoch before its last batch.
        agree: Returns rank 0's decision. Called after the last batch of an epoch.
    """
    loop = trainer.fit_loop.epoch_loop
    loop.__dict__[ADVANCED] = partial(_advanced, trainer, loop.on_advance_end, ends, agree)
    if hasattr(loop, ASKS):
        loop.__dict__[ASKS] = partial(_end_if_told, trainer)


def common_pace(trainer: Trainer) -> None:
    """Undo :func:`own_pace`."""
    for name in (ASKS, ADVANCED):
        trainer.fit_loop.epoch_loop.__dict__.pop(name, None)


def _advanced(
    trainer: Trainer, own: Callable[..., Any], ends: Callable[[], None], agree: Callable[[bool], bool], *args: Any
) -> None:
    loop = trainer.fit_loop
    if loop.epoch_loop._is_training_done:
        trainer.should_stop = agree(trainer.should_stop)
    elif trainer.should_stop and loop._can_stop_early:
        ends()
    own(*args)


def _end_if_told(trainer: Trainer) -> None:
    if getattr(trainer, "received_sigterm", False):
        raise SIGTERMException
