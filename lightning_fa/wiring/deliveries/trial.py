"""A rule is tried once on zeros, so that a mistake in it is reported before the first step and outside of autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lightning_fa.rules.base import Rule

ROWS = 2
"""The number of rows in a trial: more than one, because one row would broadcast."""


def try_rule(rule: Rule, function: str, block: str, call: Callable[[], Tensor], expected: Sequence[int]) -> None:
    """Check the shape of what ``call``, which is ``function`` of the rule for ``block``, returns.

    Raises:
        ValueError: ``call`` returns another shape than ``expected``, or raises; the message names rule, function and block.
    """
    where = f"{type(rule).__name__}.{function} for block {block!r}: expected a tensor of shape {tuple(expected)}"
    try:
        with torch.no_grad():
            given = call()
    except (RuntimeError, IndexError, TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"{where}, but it raised {type(error).__name__}: {error}") from error
    if not isinstance(given, Tensor):
        raise ValueError(f"{where}, but got {type(given).__name__}.")
    if given.shape != torch.Size(expected):
        raise ValueError(f"{where}, but got shape {tuple(given.shape)}.")
