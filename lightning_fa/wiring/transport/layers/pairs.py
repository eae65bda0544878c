"""A pair (W, B) of a weight and its backward weight, in place of the weight while a layer's own forward runs.

An operator on the weight alone (a transposition, a mask, a standardisation) is applied to both and yields a pair. If an operator
that is linear in an activation combines it with the pair, W gives the value and B carries the error. A sum or a concatenation
sends no error through the weight. Both yield an ordinary activation. Other operators on a pair and an activation are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from lightning_fa.ops import convolution, linear
from lightning_fa.ops.graft import graft
from lightning_fa.ops.transport import Geometry
from lightning_fa.wiring.transport.layers import operators as known


class Origin(NamedTuple):
    """Where a pair comes from."""

    layer: str
    """The name of the layer in messages."""
    constants: set[int]
    """The ``id`` of each of the layer's own parameters and buffers."""
    carried: set[str]
    """The names of governed weights through which an error travels. Filled while the forward runs."""


class Pair(Tensor):
    """W, as a tensor whose operators all go through :func:`_dispatch`. B and the origin are attributes."""

    _feedback: Tensor
    _origin: Origin
    _names: frozenset[str]
    """The names of the governed parameters in it; empty for a bias, which is presented as a pair too."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return _dispatch(func, args, kwargs or {})


def pair(value: Tensor, feedback: Tensor, origin: Origin, names: frozenset[str]) -> Pair:
    """The pair (``value``, ``feedback``)."""
    with torch._C.DisableTorchFunctionSubclass():
        made = value.as_subclass(Pair)
        made._feedback, made._origin, made._names = feedback.detach(), origin, names
        return made


def value_of(item: Any) -> Any:
    """W of a pair; anything else unchanged."""
    # From the tensor itself and not from a stored copy, because a Function may have given the tensor another history.
    if not isinstance(item, Pair):
        return item
    with torch._C.DisableTorchFunctionSubclass():
        return item.as_subclass(Tensor)


def feedback_of(item: Any) -> Any:
    """B of a pair; anything else unchanged."""
    if not isinstance(item, Pair):
        return item
    held = item.__dict__.get("_feedback")
    if held is None:
        raise RuntimeError("A governed weight went through a Function that lost its feedback. " + ADVICE)
    return held


ADVICE = (
    "Name the layer in `ungoverned` to leave it to backpropagation, or declare with `lightning_fa.register_layer(cls, weights)` "
    "which weights its forward uses linearly."
)


def _dispatch(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = getattr(func, "__name__", str(func))
    flat, spec = tree_flatten((args, kwargs))
    pairs = [item for item in flat if isinstance(item, Pair)]
    origin, names = _origin(pairs)

    def call(change: Callable[[Any], Any]) -> Any:
        a, k = tree_unflatten([change(item) for item in flat], spec)
        return func(*a, **k)

    if known.in_place(name) or kwargs.get("out") is not None:
        if isinstance(flat[0], Pair):
            raise _refused(origin, name, "changes a governed weight in place")
        return call(value_of)
    others = [item for item in flat if isinstance(item, Tensor) and not isinstance(item, Pair)]
    if not names:
        if any(_is_active(other, origin) for other in others):
            return call(value_of)
    elif name in known.LINEAR or name in known.PRODUCTS or name in known.SUMS:
        shape = None if name in known.LINEAR else torch.broadcast_shapes(*(p.shape for p in pairs))
        active = [t for t in others if _is_active(t, origin) or not _is_constant(t, origin, shape)]
        if active and name in known.SUMS:
            return call(value_of)
        if active:
            origin.carried.update(names)
            return _transport(name, args, kwargs, call, lambda t: not _is_constant(t, origin, shape))
    elif name in known.JOINED or name in known.LOOKUPS:
        if any(not _is_constant(t, origin, None) for t in others):
            return call(value_of)
    elif any(_is_active(other, origin) for other in others):
        raise _refused(origin, name, "is not known to be linear in its input")
    if known.makes_anew(name):
        return call(value_of)
    if name in known.SAMPLERS and names:
        raise _refused(origin, name, "draws random numbers for a governed weight")
    return _both(func, call, origin, names)


def _both(func: Any, call: Callable[[Callable[[Any], Any]], Any], origin: Origin, names: frozenset[str]) -> Any:
    value = call(value_of)
    if not any(map(_is_real, tree_flatten(value)[0])):
        return value
    # Copies, because an operator may change a buffer, as a fake quantiser notes the range of the weights that it sees.
    feedback = call(lambda item: item.clone() if _is_buffer(item, origin) else feedback_of(item))
    return tree_map(lambda v, b: pair(v, b, origin, names) if _is_real(v) else v, value, feedback)


def _is_buffer(item: Any, origin: Origin) -> bool:
    return id(item) in origin.constants and not isinstance(item, (Pair, torch.nn.Parameter))


def _is_real(item: Any) -> bool:
    return isinstance(item, Tensor) and item.is_floating_point()


def _is_active(tensor: Tensor, origin: Origin) -> bool:
    # An error can travel to it, and it is no parameter. The proof follows the parameters of children separately.
    return tensor.requires_grad and not isinstance(tensor, torch.nn.Parameter) and id(tensor) not in origin.constants


def _is_constant(tensor: Tensor, origin: Origin, shape: torch.Size | None) -> bool:
    # A mask or a scale, not an activation: it belongs to the layer, is a scalar, or broadcasts to the shape of the weight.
    if id(tensor) in origin.constants or isinstance(tensor, torch.nn.Parameter) or tensor.ndim == 0:
        return True
    return shape is not None and _fits(tensor.shape, shape)


def _fits(shape: torch.Size, into: torch.Size) -> bool:
    try:
        return torch.broadcast_shapes(shape, into) == into
    except RuntimeError:
        return False


def _transport(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    call: Callable[[Callable[[Any], Any]], Any],
    is_input: Callable[[Tensor], bool],
) -> Tensor:
    fast = _usual(name, *args, **kwargs)
    if fast is not None:
        return fast

    def above(item: Any) -> Any:  # gives the gradients of all but the inputs
        activation = isinstance(item, Tensor) and not isinstance(item, Pair) and is_input(item)
        return item.detach() if activation else value_of(item)

    def below(item: Any) -> Any:  # gives the error of the inputs
        return (
            feedback_of(item)
            if isinstance(item, Pair) or not isinstance(item, Tensor) or is_input(item)
            else item.detach()
        )

    value, carried = call(above), call(below)
    return graft(value, carried) if carried.requires_grad else value


def _usual(
    name: str,
    x: Any = None,
    weight: Any = None,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    **kwargs: Any,
) -> Tensor | None:
    """The two most common operators, evaluated once; ``None`` for other operators and other uses of these two."""
    if kwargs or isinstance(x, Pair) or not isinstance(weight, Pair):
        return None
    if name == "linear":
        return linear(x, value_of(weight), value_of(bias), feedback_of(weight))
    dims = weight.ndim - 2
    if name != f"conv{dims}d" or x.ndim != weight.ndim or isinstance(padding, str):
        return None
    stride, padding, dilation = ((n,) * dims if isinstance(n, int) else tuple(n) for n in (stride, padding, dilation))
    geometry = Geometry(stride, padding, dilation, False, (0,) * dims, groups)
    return convolution(x, value_of(weight), value_of(bias), feedback_of(weight), geometry)


def _origin(pairs: list[Pair]) -> tuple[Origin, frozenset[str]]:
    held = [p.__dict__ for p in pairs]
    if any("_origin" not in own for own in held):
        raise RuntimeError("A governed weight went through a Function that lost its feedback. " + ADVICE)
    return held[0]["_origin"], frozenset().union(*(own["_names"] for own in held))


# No TypeError, because the operators of `Tensor` read it as "not implemented" and lose its message.
def _refused(origin: Origin, name: str, why: str) -> RuntimeError:
    return RuntimeError(f"The rule cannot govern {origin.layer}: `{name}` in its forward {why}. {ADVICE}")


def plain(tree: Any) -> Any:
    """``tree`` with W in place of every pair."""
    return tree_map(value_of, tree)
