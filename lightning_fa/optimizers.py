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
from lightning_fa.wiring import Wiring

_WAITING: weakref.WeakKeyDictionary[Wiring, list[str]] = weakref.WeakKeyDictionary()
"""Wirings with learned feedback that no optimizer's step has shown to be held, and the full names of their feedback."""


def watch(wiring: Wiring, root: nn.Module) -> None:
    """Check, in the first step of an optimizer that trains a layer with learned feedback, that some optimizer holds it."""
    if not _WAITING:
        _Hook.install()
    _WAITING[wiring] = wiring.slot_names(root)


def forgotten(wiring: Wiring, names: Iterable[str], optimizers: Iterable[Optimizer]) -> list[str]:
    """Names of learned feedback in none of ``optimizers``, of modules whose own parameters are in one.

    Feedback that does not require gradients, and that of modules which nothing trains, may be left out on purpose.
    """
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    return [
        name
        for key, name in zip(wiring.holders, names, strict=True)
        if isinstance(b := wiring.held(key), nn.Parameter)
        and b.requires_grad
        and id(b) not in held
        and any(id(p) in held for n, p in wiring.holders[key].named_parameters() if FEEDBACK not in n)
    ]


def message(names: Iterable[str]) -> str:
    """What to do about :func:`forgotten` feedback."""
    return (
        f"The learned feedback {', '.join(names)} is in no optimizer, and would never learn. Build the optimizer after the "
        "rule is attached, from `model.parameters()` (in a LightningModule: inside `configure_optimizers`). To keep it fixed "
        "on purpose, set its `requires_grad` to False."
    )


class _Hook:
    """Before every optimizer's step, as long as something waits."""

    handle: torch.utils.hooks.RemovableHandle | None = None

    @classmethod
    def install(cls) -> None:
        if cls.handle is None:
            cls.handle = register_optimizer_step_pre_hook(_before_step)

    @classmethod
    def remove(cls) -> None:
        if cls.handle is not None:
            cls.handle.remove()
            cls.handle = None


def _before_step(optimizer: Optimizer, *_: object) -> None:
    if torch.compiler.is_compiling():
        return
    for wiring, names in list(_WAITING.items()):
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not any(id(p) in owned for module in wiring.holders.values() for p in module.parameters()):
            continue  # another model's, or that of another part
        if forgotten(wiring, names, [optimizer]):
            # Another optimizer may hold it, and step later, or seldom. This search is slow, and runs once.
            every = [each for each in gc.get_objects() if issubclass(type(each), Optimizer)]  # no proxies
            lost = forgotten(wiring, names, every)
            if lost:
                raise RuntimeError(message(lost))
        _WAITING.pop(wiring, None)
    if not _WAITING:
        _Hook.remove()
