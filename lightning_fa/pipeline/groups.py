"""Parameters of other stages that a callback adds to an optimizer again.

``BaseFinetuning`` adds what the optimizer does not have, and compares values. A freed weight reads as NaN and equals nothing, so
that it would be added twice on the ranks that do not hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

ADDS = "add_param_group"


def add_once(optimizer: Optimizer, owns: Callable[[Tensor], bool]) -> None:
    """Let the optimizer ignore parameters of other stages that it has already.

    Args:
        optimizer: The optimizer.
        owns: Whether this stage has the parameter.
    """
    optimizer.__dict__[ADDS] = partial(_add, optimizer, optimizer.add_param_group, owns)


def add_always(optimizer: Optimizer) -> None:
    """Undo :func:`add_once`."""
    optimizer.__dict__.pop(ADDS, None)


def _add(
    optimizer: Optimizer, own: Callable[[Any], None], owns: Callable[[Tensor], bool], group: dict[str, Any]
) -> None:
    given = group["params"]
    parameters = [given] if isinstance(given, Tensor) else list(given)
    held = {id(p) for existing in optimizer.param_groups for p in existing["params"]}
    tensors = [p[1] if isinstance(p, tuple) else p for p in parameters]  # torch also takes names with them
    new = [p for p, tensor in zip(parameters, tensors) if owns(tensor) or id(tensor) not in held]
    if new or not parameters:
        own({**group, "params": new})
