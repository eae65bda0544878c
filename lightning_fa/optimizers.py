"""Learned feedback that no optimizer holds never learns: it is named in the first step, or before.

An optimizer that was built before the rule was attached does not know the feedback.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.store import Store

_WAITING: weakref.WeakKeyDictionary[Store, list[str]] = weakref.WeakKeyDictionary()
"""Stores of learned feedback that no optimizer's step has shown to be held, and the full names of their feedback."""
_HANDLES: list[torch.utils.hooks.RemovableHandle] = []


def watch(store: Store, root: nn.Module, forgetting: float | None = None) -> None:
    """Check, in the first step of an optimizer that trains a layer with learned feedback, that some optimizer holds it.

    Where ``forgetting`` is a number, feedback is a running average from then on: see :mod:`lightning_fa.wiring.averages`.
    """
    store.average(forgetting)
    if not _HANDLES:  # for good: a hook that removes itself ends the loop over the hooks of others
        _HANDLES.append(register_optimizer_step_pre_hook(_before_step))
    _WAITING[store] = store.full_names(root)


def forgotten(store: Store, names: Iterable[str], optimizers: Iterable[Optimizer]) -> list[str]:
    """Names of learned feedback in none of ``optimizers``, of modules whose own parameters are in one.

    Feedback that does not require gradients, and that of modules which nothing trains, may be left out on purpose.
    """
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    return [
        name
        for key, name in zip(store.slots, names, strict=True)
        if isinstance(b := store.get(key), nn.Parameter)
        and b.requires_grad
        and id(b) not in held
        and any(id(p) in held for n, p in store.slots[key].module.named_parameters() if FEEDBACK not in n)
    ]


def message(names: Iterable[str]) -> str:
    """What to do about :func:`forgotten` feedback."""
    return (
        f"The learned feedback {', '.join(names)} is in no optimizer, and would never learn. Build the optimizer after the "
        "rule is attached, from `model.parameters()` (in a LightningModule: inside `configure_optimizers`). To keep it fixed "
        "on purpose, set its `requires_grad` to False."
    )


def _before_step(optimizer: Optimizer, *_: object) -> None:
    if torch.compiler.is_compiling():
        return
    for store, names in list(_WAITING.items()):
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not any(id(p) in owned for slot in store.slots.values() for p in slot.module.parameters()):
            continue  # another model's, or that of another part
        if forgotten(store, names, [optimizer]):
            # Another optimizer may hold it, and step later, or seldom. This search is slow, and runs once.
            every = [each for each in gc.get_objects() if issubclass(type(each), Optimizer)]  # no proxies
            lost = forgotten(store, names, every)
            if lost:
                raise RuntimeError(message(lost))
        _WAITING.pop(store, None)
