"""Which modules a transport rule governs, and by which behaviour: a fast one for known forwards, pairs for all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from lightning_fa.surgery import Behaviour
from lightning_fa.wiring.transport.layers.dense import DENSE, TransportedLinear
from lightning_fa.wiring.transport.layers.known import behaviour_of, known_base, matrices_of
from lightning_fa.wiring.transport.layers.presented import Presented
from lightning_fa.wiring.transport.layers.registered import registered

LISTS = (nn.ParameterList, nn.ParameterDict)
"""Modules without a forward. Their parameters are used by the module around them."""


class Layer(NamedTuple):
    """A governed module."""

    module: nn.Module
    behaviour: type[Behaviour]
    own: list[str]
    """Its weights that have a B."""
    others: list[tuple[nn.Module, str, str]]
    """Weights of other modules that its forward uses: the module that holds the weight, the name there, the name in the model."""


class Weight(NamedTuple):
    """A weight that has a B."""

    holder: nn.Module
    key: str
    """The name of the weight in ``holder``."""


def full_name(module: str, key: str) -> str:
    """The name under which B is drawn and listed: the name of the layer if the weight is its ``weight``, pruned or not."""
    return module if key in ("weight", "weight_orig") else f"{module}.{key}".lstrip(".")


def choose_layers(
    modules: Mapping[str, nn.Module], control: bool, free: Callable[[str], bool]
) -> tuple[dict[str, Layer], dict[str, Weight]]:
    """The layers that a rule enters, by name, and the weights that get a B, by name.

    Args:
        modules: Candidates by name.
        control: Whether W itself carries the error. If so, layers of unknown types stay as they are.
        free: Whether a name is excluded.

    Raises:
        ValueError: a weight cannot be governed; the message names it.
    """
    layers: dict[str, Layer] = {}
    weights: dict[str, Weight] = {}
    refused: list[str] = []
    for name, module in modules.items():
        listed = registered(module)
        own = [key for key in (listed or matrices_of(module)) if key in module._parameters]
        own = [key for key in own if not free(f"{name}.{key}".lstrip("."))]
        stock = behaviour_of(module)
        if _is_complex(module, own) and stock is not TransportedLinear and not (control and stock is None):
            refused.append(f"{name} ({_path(module)}: {', '.join(own)}): of complex weights only those of nn.Linear")
        elif stock is not None and own:
            layers[name] = Layer(module, stock, own, [])
        elif control or isinstance(module, LISTS) or not (own or listed):
            pass
        else:
            why = ungovernable(module)
            if why:
                refused.append(f"{name} ({_path(module)}: {', '.join(own)}): {why}".lstrip())
                continue
            layers[name] = Layer(module, Presented, own, [])
        if name in layers or (isinstance(module, LISTS) and not control):
            weights |= {full_name(name, key): Weight(module, key) for key in own}
    if refused:
        raise ValueError(
            f"Cannot govern {'; '.join(refused)}. Name these modules in `ungoverned` to leave them to backpropagation, or "
            "replace them by layers whose weights are plain parameters."
        )
    if not (control or weights):
        raise ValueError(
            "No layer passes an error down through a weight matrix, so that the rule would have nothing to do: an embedding's "
            "input is an index. Expected at least one Linear, Conv, ..."
        )
    if not control:
        _lend(modules, layers, weights)
    return layers, weights


def ungovernable(module: nn.Module) -> str:
    """Why the weights of a module cannot be presented to its forward; empty if they can."""
    base, hooks = known_base(module), module._forward_pre_hooks.values()
    if isinstance(module, ParametrizationList):
        return "a parametrised weight: remove the parametrisation first"
    if any(isinstance(hook, (WeightNorm, SpectralNorm)) for hook in hooks):
        return "a weight that is parametrised by a hook: remove weight_norm or spectral_norm first"
    if base is not None and base not in DENSE:
        return f"a {base.__name__} with a forward, or with weights, of its own"
    return ""


def _is_complex(module: nn.Module, keys: list[str]) -> bool:
    return any(p is not None and p.is_complex() for p in map(module._parameters.get, keys))


def _lend(modules: Mapping[str, nn.Module], layers: dict[str, Layer], weights: Mapping[str, Weight]) -> None:
    """Record the weights that a module uses and another module holds: registered weights, and weights in parameter lists."""
    for name, module in modules.items():
        wanted = [f"{name}.{key}".lstrip(".") for key in registered(module) if key not in module._parameters]
        if isinstance(module, LISTS):
            wanted = [full for full, weight in weights.items() if weight.holder is module]
            name = name.rpartition(".")[0]
        for key in wanted:
            full = key.removesuffix(".weight") if key not in weights else key
            if full in weights and name in modules:
                user = layers.setdefault(name, Layer(modules[name], Presented, [], []))
                if user.behaviour is Presented:
                    user.others.append((*weights[full], full))


def _path(module: nn.Module) -> str:
    cls = type(module)
    return cls.__qualname__ if cls.__module__.startswith("torch.nn.") else f"{cls.__module__}.{cls.__qualname__}"


__all__ = ["LISTS", "Layer", "Weight", "choose_layers", "full_name", "ungovernable"]
