"""The steps at which a callback measures."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

Steps: TypeAlias = "int | Collection[int] | Literal['log']"
"""Every n optimiser steps, at these steps, or at 0, 1, 2, 5, 10, 20, 50, ... steps."""


def check_steps(steps: Steps) -> Steps:
    """``steps``, a collection as a frozenset.

    Raises:
        ValueError: ``steps`` is none of the forms of :data:`Steps`.
    """
    if steps == "log" or (isinstance(steps, int) and steps > 0):
        return steps
    if not isinstance(steps, (int, str)) and all(isinstance(step, int) for step in steps):
        return frozenset(steps)
    raise ValueError(
        f"Expected argument `steps` to be a positive int, a collection of ints or 'log', but got {steps!r}."
    )


def is_due(steps: Steps, step: int) -> bool:
    """Whether to measure before optimiser step number ``step``, from 0."""
    if isinstance(steps, int):
        return step % steps == 0
    if steps != "log":
        return step in steps
    digits = str(step)
    return digits.rstrip("0") in ("", "1", "2", "5")
