"""Proof that no governed W carries an error: the autograd graph of the first pass, read from the outputs down.

An error travels through a weight where an operator that is no sum combines it with an activation. In a graph that is a node
that depends on the weight by one input, through nothing but operators on weights, and on something else by another. Nodes
of this library are no such nodes: W has only its own gradient from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn

from lightning_fa.ops.graft import _Graft, _Tie
from lightning_fa.ops.transport import _Convolution, _Linear

Kind: TypeAlias = "frozenset[str] | None"
"""What a node computes: ``None`` for an activation, else the governed weights that it depends on, by name."""

_OURS: dict[Any, tuple[int, ...]] = {_Linear: (0,), _Convolution: (0,), _Graft: (1,)}
"""Our Functions, and the inputs by which an error travels on."""
_FOLLOWED = {**_OURS, _Tie: (0,)}

_SUMS = (
    *("AddBackward", "SubBackward", "RsubBackward", "CatBackward", "StackBackward", "WhereBackward", "_JoinBackward"),
    *("CopySlices", "IndexPutBackward", "IndexAddBackward", "MaskedScatterBackward", "SliceScatterBackward"),
)
_ACTIVATIONS = (
    "EmbeddingBackward",
    "EmbeddingBagBackward",
    "IndexBackward",
    "IndexSelectBackward",
    "GatherBackward",
    "CompiledFunction",
)
"""Lookups, and nodes that cannot be looked into."""


def carriers(outputs: Iterable[Tensor], weights: Mapping[int, str]) -> list[str]:
    """The names of those ``weights``, by the ``id`` of the parameter, that carry an error to what lies below them."""
    kinds: dict[Any, Kind] = {}
    found: set[str] = set()
    for root in [t.grad_fn for t in outputs if t.grad_fn is not None]:
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if node in kinds:
                continue
            below = _below(node)
            if not ready:
                stack += [(node, True), *((n, False) for n in below if n not in kinds)]
            else:
                kinds[node] = _kind(node, [kinds[n] for n in below], weights, found)
    return sorted(found)


def _below(node: Any) -> list[Any]:
    edges = [following for following, _ in node.next_functions]
    ours = _FOLLOWED.get(getattr(node, "_forward_cls", None))
    return [n for n in (edges if ours is None else [edges[i] for i in ours]) if n is not None]


def _kind(node: Any, below: Sequence[Kind], weights: Mapping[int, str], found: set[str]) -> Kind:
    leaf = getattr(node, "variable", None)
    if leaf is not None:
        own = weights.get(id(leaf))
        return frozenset() if own is None and _is_vector(leaf) else None if own is None else frozenset([own])
    name = node.name()
    if getattr(node, "_forward_cls", None) in _OURS or name.startswith(_ACTIVATIONS):
        return None
    if not name.startswith(_SUMS):
        for i, own_kind in enumerate(below):
            beside = [kind for j, kind in enumerate(below) if j != i]
            if own_kind and any(kind is None or (kind and kind != own_kind) for kind in beside):
                found |= own_kind
    return None if None in below else frozenset().union(*(kind for kind in below if kind is not None))


def _is_vector(leaf: Tensor) -> bool:
    # Of a parameter: a bias, a scale, a position embedding with a place for the batch. An input is an activation.
    small = leaf.numel() <= max(leaf.shape, default=1) or (leaf.ndim > 2 and leaf.shape[0] == 1)
    return small and isinstance(leaf, nn.Parameter)
