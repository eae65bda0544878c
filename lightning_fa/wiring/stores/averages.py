r"""Learned feedback that is a running average of its gradients G, at the rule's own rate and not at the optimizer's.

.. math:: B \leftarrow \lambda B + (1 - \lambda) G

B moves when an optimizer that holds B steps, because G is then summed over accumulated batches, averaged over ranks, free of the
loss scale, and finite. The optimizer's own change of B is undone.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


class Moving(Protocol):
    """Feedback that is a running average: the tensors by name, and their forgetting factor."""

    forgetting: float | None

    def items(self) -> Iterator[tuple[str, Tensor]]: ...


_STORES: weakref.WeakSet[Moving] = weakref.WeakSet()
_BEFORE: weakref.WeakKeyDictionary[Optimizer, list[tuple[Tensor, Tensor, float]]] = weakref.WeakKeyDictionary()
"""For an optimizer during its step: each B that it holds, the value of B before the step, and the factor."""
_HANDLES: list[Any] = []


def track(store: Moving) -> None:
    """From now on move the feedback in ``store``, by its factor, in the steps of optimizers."""
    _STORES.add(store)
    if not _HANDLES:
        _HANDLES.extend([register_optimizer_step_pre_hook(_before), register_optimizer_step_post_hook(_after)])


@torch.compiler.disable  # type: ignore[untyped-decorator]  # a compiled step would keep the hooks of its first run
def _before(optimizer: Optimizer, *_: object) -> None:
    if _STORES:
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        held = [(b, store.forgetting) for store in _STORES for _, b in store.items() if id(b) in own]
        _BEFORE[optimizer] = [(b, b.detach().clone(), factor) for b, factor in held if factor is not None]


@torch.compiler.disable  # type: ignore[untyped-decorator]
@torch.no_grad()
def _after(optimizer: Optimizer, *_: object) -> None:
    for b, was, factor in _BEFORE.pop(optimizer, ()):
        if b.grad is not None:  # else the optimizer did not change it
            b.copy_(factor * was + (1 - factor) * b.grad.to(was.dtype))
