"""Proof that no governed W carries an error: the autograd graphs of the first output and of the first loss are read downwards.

The loss is read as well, because a training step may do more than ``forward``, and ``forward`` more in training mode.

An error travels through a weight if an operator other than a sum combines the weight with an activation. In the graph this is
a node with an input that depends on the weight, through operators on weights alone, and another that depends on something else.
Nodes of this library are exempt, because W receives only its own gradient from them. Nodes of passes under suspension are exempt
too: there the user has asked for the true derivative.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lightning_fa.ops.graft import _Graft, _Tie
from lightning_fa.ops.transport import _Convolution, _Linear
from lightning_fa.surgery import governed
from lightning_fa.wiring.checkpoints import recomputing
from lightning_fa.wiring.tensors import tensors_in
from lightning_fa.wiring.transport.layers import Plan, Weight

Kind: TypeAlias = "frozenset[str] | None"
"""What a node computes: ``None`` for an activation, else the governed weights that it depends on, by name."""

_OURS: dict[Any, tuple[int, ...]] = {_Linear: (0,), _Convolution: (0,), _Graft: (1,)}
"""Functions of this library -> the indices of the inputs through which an error travels on."""
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
    "ApplyTemplate",  # of an autograd.Function, such as those of this library, that `torch.compile(backend="eager")` has traced
)
"""Lookups, and nodes whose inside is not visible."""


class Proof:
    """A forward hook of the model, which reads the graph of the model's first output.

    Args:
        rule: The name of the rule.
        root: The model.
        adopted: The modules whose class was exchanged.
    """

    def __init__(self, rule: str, root: nn.Module, adopted: Sequence[nn.Module]) -> None:
        self.rule, self.root, self.adopted = rule, root, adopted
        self.plans: list[Plan] = []
        """Layers whose own forward uses their weights in a way that only the graph shows."""
        self.lookups: dict[int, str] = {}
        """Weights that an index looks up, by the ``id`` of the parameter."""
        self._weights: Mapping[str, Weight] = {}
        self._handle: Any = None
        """Of the hook, until an output was checked."""
        self._aside: list[tuple[int, int]] | None = None
        """The sequence numbers of the nodes of passes under suspension, until a loss was checked; then ``None``."""

    def watch(self, weights: Mapping[str, Weight]) -> None:
        """Check outputs and losses, each until one has a graph that can be read. ``weights``: the governed weights."""
        self._weights, self._aside = weights, []
        self._handle = self.root.register_forward_hook(self)

    def __call__(self, module: Any, inputs: Any, output: Any) -> None:
        if self._handle is not None and self._check(output):
            self.end()

    def score(self, loss: Tensor) -> None:
        """Check the first loss."""
        if self._aside is not None and self._check(loss):
            self.end()
            self._aside = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside the context the rule is suspended: a loss may depend on what is computed there."""
        begin = _sequence() if self._aside is not None else 0
        try:
            yield
        finally:
            if self._aside is not None:
                self._aside.append((begin, _sequence()))

    def _check(self, output: Any) -> bool:
        """Check that no governed weight carries an error in the graph of ``output``. Returns whether it can be read.

        Raises:
            RuntimeError: one does; the message names it.
        """
        if torch.compiler.is_compiling() or recomputing():
            return False
        graphs = [t for t in tensors_in(output) if t.grad_fn is not None]
        if not graphs or not all(map(governed, self.adopted)):  # the rule may be suspended
            return False
        live = {id(getattr(weight.holder, weight.key)): name for name, weight in self._weights.items()}
        found = carriers(graphs, live | self.lookups, self._aside or ())
        if found:
            raise RuntimeError(
                f"The true weight of {', '.join(found)} carries an error, not the feedback of {self.rule}: the weight is "
                "used outside of the forward of the module that holds it. Call that module, or declare the class whose forward "
                "uses the weight with `lightning_fa.register_layer(cls, weights)`, or name the module in `ungoverned` to leave "
                "it to backpropagation."
            )
        return not all("CompiledFunction" in str(t.grad_fn) for t in graphs)

    def end(self) -> None:
        """Check no further output."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = None

    def unused(self) -> set[str]:
        """Weights of the :attr:`plans` that carry no error; empty until the proof is made."""
        if self._handle is not None:
            return set()
        every = {full for plan in self.plans for *_, full in plan.weights}
        return every - {full for plan in self.plans for full in plan.carried}


def carriers(outputs: Iterable[Tensor], weights: Mapping[int, str], aside: Sequence[tuple[int, int]] = ()) -> list[str]:
    """The names of the weights that carry an error further down.

    Args:
        outputs: Where errors begin.
        weights: ``id`` of the parameter -> name.
        aside: Ranges of the sequence numbers of nodes that are exempt.
    """
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
            elif any(begin < node._sequence_nr() < end for begin, end in aside):
                kinds[node] = None
            else:
                kinds[node] = _kind(node, [kinds[n] for n in below], weights, found)
    return sorted(found)


def _sequence() -> int:
    """A sequence number between those of earlier and later nodes of this thread."""
    with torch.enable_grad():
        node: Any = torch.zeros((), requires_grad=True).clone().grad_fn
    return -1 if node is None else int(node._sequence_nr())  # none in inference mode, where nothing has a graph


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
    # True for a parameter such as a bias, a scale, or a position embedding with a batch dimension of 1; not for an input.
    small = leaf.numel() <= max(leaf.shape, default=1) or (leaf.ndim > 2 and leaf.shape[0] == 1)
    return small and isinstance(leaf, nn.Parameter)
