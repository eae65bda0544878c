"""Layers of any type that keep their own forward: while it runs, their weights are presented to it as pairs (W, B)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils.prune import BasePruningMethod

from lightning_fa.ops.graft import tie
from lightning_fa.surgery import FEEDBACK, OWN_FORWARD, Behaviour, governed
from lightning_fa.wiring.transport.layers.pairs import Origin, pair, plain


@dataclass
class Plan:
    """The port of a presented layer: which weights its forward uses, and which modules hold these weights."""

    port: Any
    label: str
    """The name of the layer in messages."""
    weights: list[tuple[nn.Module, str, str]] = field(default_factory=list)
    """The module that holds a governed weight, its name there, and its name in the model."""
    carried: set[str] = field(default_factory=set)
    """Governed weights through which an error has been seen to travel."""

    def __call__(self, layer: nn.Module, name: str = "weight", x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        answer: tuple[Tensor, Tensor] = self.port(layer, name, x)
        return answer


class Presented(Behaviour):
    """Any module that uses governed weights in its own forward."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__.get(OWN_FORWARD) or super().forward  # type: ignore[misc]
        if not torch.is_grad_enabled():
            return own(*args, **kwargs)
        return _present(self, own, args, kwargs)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # a graph break: the compiler does not follow `__torch_function__`
def _present(layer: Any, own: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    plan: Plan = layer._feedback_port
    with _shown(layer, plan):
        return plain(own(*args, **kwargs))


@contextmanager
def _shown(layer: nn.Module, plan: Plan) -> Iterator[None]:
    tensors = [*layer.parameters(recurse=False), *layer.buffers()]
    origin = Origin(plan.label, {id(t) for t in tensors}, plan.carried)
    shown: list[tuple[nn.Module, str, Any]] = []

    def show(holder: nn.Module, name: str, tensor: Any) -> None:
        shown.append((holder, name, holder.__dict__.get(name)))
        holder.__dict__[name] = tensor  # found before `nn.Module.__getattr__` looks for the parameter

    hook = register_module_forward_pre_hook(_enter)
    try:
        for holder, name, full in plan.weights:
            port: Any = holder._feedback_port if governed(holder) else plan.port
            weight, feedback = port(holder, name)
            weight = tie(weight, feedback) if feedback.requires_grad else weight
            show(holder, name, pair(weight, feedback, origin, frozenset([full])))
        for name, p in list(layer._parameters.items()):
            if p is not None and name not in layer.__dict__ and not name.startswith(FEEDBACK) and p.is_floating_point():
                show(layer, name, pair(p, p, origin, frozenset()))
        for method in layer._forward_pre_hooks.values():
            if isinstance(method, BasePruningMethod):  # it ran before the pair was in place
                show(layer, method._tensor_name, method.apply_mask(layer))
        yield
    finally:
        hook.remove()
        for holder, name, before in reversed(shown):
            if before is None:
                del holder.__dict__[name]
            else:
                holder.__dict__[name] = before


def _enter(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
    # Every input of a governed layer is an activation, even a learned query that is a pair in the module around it.
    return plain(inputs) if governed(module) else None
