"""The tensors in what a module takes or returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


def entering(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | str | None:
    """The position or name of the input of a block that is the output of the block below; ``None`` without a tensor.

    This is the first tensor that requires a gradient: a mask or an index does not. If no tensor requires a gradient, as above
    frozen blocks, it is the first floating-point tensor, or else the first tensor.
    """
    every: tuple[tuple[int | str, Any], ...] = (*enumerate(args), *kwargs.items())
    tensors = [(key, value) for key, value in every if isinstance(value, Tensor)]
    # Loops, because dynamo of PyTorch 2.8 does not support next() with a default.
    for key, value in tensors:
        if value.requires_grad:
            return key
    for key, value in tensors:
        if value.is_floating_point() or value.is_complex():
            return key
    return tensors[0][0] if tensors else None


class Entrances:
    """Which input of a block is the output of the block below: decided once, in the first pass in which the block below learns.

    A later pass may have other inputs that require a gradient: the state of the step before, or data under an attack.
    """

    def __init__(self) -> None:
        self._keys: dict[int, int | str] = {}
        """The number of a block -> the position or name of the input."""

    def find(self, index: int, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | str:
        """As :func:`entering`, for block number ``index``, called ``name``.

        Raises:
            TypeError: no argument is a tensor.
        """
        known = self._keys.get(index)
        given: Any = kwargs if isinstance(known, str) else range(len(args))
        if known is not None and known in given and isinstance(argument(args, kwargs, known), Tensor):
            return known
        key = entering(args, kwargs)
        if key is None:
            raise TypeError(f"Block {name!r} was called without a tensor: expected one as input.")
        # A compiled pass remembers nothing, because what is remembered would have the code compiled again.
        if known is None and not torch.compiler.is_compiling() and argument(args, kwargs, key).requires_grad:
            self._keys[index] = key
        return key


def argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], key: int | str) -> Any:
    """The argument of a call at a position or name."""
    return args[key] if isinstance(key, int) else kwargs[key]


def exchange(
    args: tuple[Any, ...], kwargs: dict[str, Any], key: int | str, change: Callable[[Tensor], Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the same call, with ``change(h)`` in place of h, the argument at a position or name."""
    if isinstance(key, int):
        return (*args[:key], change(args[key]), *args[key + 1 :]), kwargs
    return args, {**kwargs, key: change(kwargs[key])}
