"""Placeholders for the outputs of modules that another stage runs: tensors of the right shape, without content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_flatten, tree_map

MOST = 1000
"""How many kinds of calls are remembered. Networks for texts see inputs of many lengths."""


class StandIn:
    """Returns placeholders for the output of a module. Their shapes are found by the module's forward on fake tensors.

    Between blocks a placeholder is NaN, so that anything computed from it by mistake is NaN as well. At the network's output
    it is zero, so that the loss is finite, and requires a gradient, so that the loss has a backward pass.

    Args:
        forward: The module's own forward.
        name: The module's name, for the error message.
    """

    def __init__(self, forward: Callable[..., Any], name: str) -> None:
        self.forward, self.name = forward, name
        self._known: dict[Any, Any] = {}

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any], last: bool) -> Any:
        """The placeholder for a call. ``last``: whether it stands for the network's output."""
        key = _key((args, kwargs))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST:
                self._known.clear()
            found = self._known[key] = self._shapes(args, kwargs)
        return tree_map(lambda shape: _fill(shape, last), found)

    def _shapes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
            args, kwargs = tree_map(
                lambda x: mode.from_tensor(x.detach()) if isinstance(x, Tensor) else x, (args, kwargs)
            )
            try:
                out = self.forward(*args, **kwargs)
            except Exception as error:
                raise RuntimeError(
                    f"The shape of the output of {self.name!r} is not known without running it, but another stage runs it "
                    f"({type(error).__name__}: {error}). The shape must not depend on the values of the input."
                ) from error
            return tree_map(lambda x: _Shape(x) if isinstance(x, Tensor) else x, out)


class _Shape:
    """Shape, dtype and device of a tensor. A leaf for ``tree_map``, which would open a ``torch.Size``."""

    def __init__(self, tensor: Tensor) -> None:
        self.size, self.dtype, self.device = tensor.shape, tensor.dtype, tensor.device


def _fill(shape: Any, last: bool) -> Any:
    if not isinstance(shape, _Shape):
        return shape
    if last:
        real = shape.dtype.is_floating_point and torch.is_grad_enabled()
        return torch.zeros(shape.size, dtype=shape.dtype, device=shape.device, requires_grad=real)
    return blank(shape.size, shape.dtype, shape.device)


_BLANK: dict[tuple[torch.dtype, torch.device], Tensor] = {}


def blank(size: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of NaN (zero for integers) in that shape. All such tensors share their memory."""
    held, numel = _BLANK.get((dtype, device)), size.numel()
    if held is None or len(held) < numel:
        value = float("nan") if dtype.is_floating_point or dtype.is_complex else 0
        held = _BLANK[dtype, device] = torch.full((numel,), value, dtype=dtype, device=device)
    return held[:numel].view(size).data  # with a version counter of its own, because others may be changed in place


def _key(inputs: Any) -> Any:
    leaves, tree = tree_flatten(inputs)
    casts = [torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) for kind in ("cpu", "cuda")]
    described = tuple((x.shape, x.dtype, x.device) if isinstance(x, Tensor) else repr(x) for x in leaves)
    return described, str(tree), *casts
