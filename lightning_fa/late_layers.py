"""Refuses layers that come into a model after its rule. The rule does not govern them: their true weights would carry errors.

PyTorch reports every module that is set as an attribute, added or appended. ``insert`` of its lists is not reported.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.nn.utils.parametrize import ParametrizationList

from lightning_fa.surgery import governed
from lightning_fa.wiring.blocks.choice import matches, weights_of
from lightning_fa.wiring.tensors import tensors_in
from lightning_fa.wrappers import named_modules


class _Watch:
    """The modules of one model, by name. Holds no module alive."""

    def __init__(self, model: nn.Module, rule: str, ungoverned: Sequence[str], adopted: Sequence[nn.Module]) -> None:
        self.model, self.rule, self.ungoverned = weakref.ref(model), rule, list(ungoverned)
        self.names = weakref.WeakKeyDictionary((module, name) for name, module in named_modules(model))
        self.adopted = weakref.ref(adopted[0])
        self.handles: list[Any] = []

    def see(self, parent: nn.Module, key: str, child: nn.Module) -> None:
        if parent not in self.names or isinstance(child, ParametrizationList):
            return  # a parametrised weight is still its layer's, which is governed
        for below, module in named_modules(child):
            if module in self.names:
                continue
            name = self.names[module] = ".".join(part for part in (self.names[parent], key, below) if part)
            if weights_of(module) and not governed(module) and not matches(name, self.ungoverned):
                _LATE[module] = self
                self.handles.append(module.register_forward_pre_hook(_refuse, with_kwargs=True))


_WATCHES: weakref.WeakKeyDictionary[nn.Module, _Watch] = weakref.WeakKeyDictionary()
_LATE: weakref.WeakKeyDictionary[nn.Module, _Watch] = weakref.WeakKeyDictionary()
_HANDLES: list[Any] = []


def watch(model: nn.Module, rule: str, ungoverned: Sequence[str], adopted: Sequence[nn.Module]) -> None:
    """From now on, refuse to run a layer with weights that is put into ``model``, until :func:`unwatch`.

    Args:
        model: The model.
        rule: The name of the rule, for the message.
        ungoverned: Patterns of the names of layers that may come later.
        adopted: The modules that are governed unless the rule is suspended.
    """
    if not _HANDLES:
        _HANDLES.append(register_module_module_registration_hook(_registered))
    _WATCHES[model] = _Watch(model, rule, ungoverned, adopted)


def unwatch(model: nn.Module) -> None:
    """Undo :func:`watch`."""
    seen = _WATCHES.pop(model, None)
    for handle in seen.handles if seen else ():
        handle.remove()


def _registered(parent: nn.Module, key: str, child: nn.Module | None) -> None:
    if child is not None:
        for each in list(_WATCHES.values()):
            each.see(parent, key, child)


def _refuse(module: nn.Module, args: Any, kwargs: Any) -> None:
    seen = _LATE.get(module)  # None for a copy of the layer, which is in no watched model
    adopted = seen.adopted() if seen else None
    if seen is None or adopted is None or not governed(adopted) or not torch.is_grad_enabled():
        return
    matters = any(t.requires_grad for t in (*module.parameters(recurse=False), *tensors_in((args, kwargs))))
    model = seen.model()
    if matters and model is not None and module in set(model.modules()):
        raise RuntimeError(
            f"The layer {seen.names[module]!r} ({type(module).__name__}) came into the model after {seen.rule}, which does not "
            "govern it: its true weight would carry errors. Put all layers in before the rule is attached (in a LightningModule "
            "before `fit`, or in `setup` or `configure_model`). Name a layer that only a loss or another optimizer uses in "
            "`ungoverned`. If the network shall grow, call `attached.detach()` and attach again."
        )
