"""The tensors in what a module takes or returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> AbstractContextManager[Any]:
    """Inside the context, autocast is off on the device of ``tensor``."""
    device = tensor.device.type
    # Entered only if needed, because entering autocast costs as much as a small layer.
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in a value: a tensor, or sequences, mappings and dataclasses of them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))


def inputs_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[Any, Any]:
    """The arguments of a call, by position or name."""
    return {**dict(enumerate(args)), **kwargs}


def with_input(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], key: Any, value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the same call, with ``value`` in place of the argument at ``key``."""
    inputs = inputs_of(args, kwargs) | {key: value}
    return tuple(inputs[i] for i in range(len(args))), {k: inputs[k] for k in kwargs}


def entering(inputs: Mapping[Any, Any]) -> Any:
    """The position or name of the input of a block that is the output of the block below; ``None`` without a tensor.

    This is the first tensor that requires a gradient: a mask or an index does not. If no tensor requires a gradient, as above
    frozen blocks, it is the first floating-point tensor, or else the first tensor.
    """
    # No next() with a default, which dynamo of PyTorch 2.6 does not support.
    tensors = [(key, value) for key, value in inputs.items() if isinstance(value, Tensor)]
    found = [key for key, value in tensors if value.requires_grad]
    found += [key for key, value in tensors if value.is_floating_point()]
    found += [key for key, _ in tensors]
    return found[0] if found else None
