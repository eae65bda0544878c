"""Finds learned feedback that is in no optimizer and would never learn, in an optimizer's first step or before.

An optimizer that was built before the rule was attached does not hold the feedback.
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
from lightning_fa.wiring.stores.store import Store

_WAITING: weakref.WeakKeyDictionary[Store, list[str]] = weakref.WeakKeyDictionary()
"""Stores of learned feedback that was not yet found in an optimizer -> the full names of their feedback."""
_HANDLES: list[torch.utils.hooks.RemovableHandle] = []


def watch(store: Store, root: nn.Module) -> None:
    """Check, in the first step of an optimizer that trains a layer with learned feedback, that some optimizer holds it."""
    if not _HANDLES:  # never removed: a hook that removes itself ends the loop over other hooks
        _HANDLES.append(register_optimizer_step_pre_hook(_before_step))
    _WAITING[store] = store.full_names(root)


def forgotten(store: Store, names: Iterable[str], optimizers: Iterable[Optimizer]) -> list[str]:
    """Names of learned feedback that is in none of ``optimizers``, although parameters of its module are.

    Feedback that does not require gradients, and feedback of modules that nothing trains, may be left out on purpose.
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
    """The error message for :func:`forgotten` feedback: what to do."""
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
            continue  # an optimizer of another model, or of another part of this model
        if forgotten(store, names, [optimizer]):
            # Another optimizer may hold the feedback, and step later or rarely. This search is slow, but runs once.
            every = [each for each in gc.get_objects() if issubclass(type(each), Optimizer)]  # without proxies
            lost = forgotten(store, names, every)
            if lost:
                raise RuntimeError(message(lost))
        if all(held.requires_grad for _, held in store.items() if isinstance(held, nn.Parameter)):
            _WAITING.pop(store, None)  # else frozen feedback may learn later
