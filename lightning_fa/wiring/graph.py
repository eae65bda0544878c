"""Proof that the cut is complete: the autograd graphs of any two blocks must not share a node."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

EXAMPLE = (
    "Pass `example=`, an input of the model, to `attach` (a LightningModule: set `example_input_array`): the block that such a "
    "connection leaves then ends at its own output, and the connection carries no error; and of two heads it is said which to "
    "leave out. Or name a module that contains the connection in `blocks=[...]`: inside it learning is by backpropagation."
)


class LeakError(RuntimeError):
    """A true gradient would cross from one block into another.

    Attributes:
        lower: The block that it would cross into.
    """

    def __init__(self, upper: str, lower: str, advice: str = "") -> None:
        super().__init__(
            f"The true gradient leaks from {upper} into block {lower!r}: a tensor computed in the latter reaches the former "
            f"beside its first input, as a skip connection does. {advice}"
        )
        self.upper, self.lower = upper, lower


def walk(starts: Iterable[Any], without: Collection[Any] = ()) -> Iterator[Any]:
    """The nodes of the graphs below ``starts``, which are nodes, not passing any of ``without``; leaves are not among them."""
    seen: set[Any] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node is None or node in without or node in seen or not node.next_functions:
            continue
        seen.add(node)
        yield node
        stack += [following for following, _ in node.next_functions]


def reach(starts: Iterable[Any], without: Collection[Any] = ()) -> set[Any]:
    """All that :func:`walk` meets."""
    return set(walk(starts, without))


def _nodes(tensor: Tensor, barriers: set[Any]) -> tuple[set[Any], set[Any]]:
    # Leaves (AccumulateGrad has no `next_functions`) may be shared: that is weight tying, not a leak.
    seen: set[Any] = set()
    leaves: set[Any] = set()
    stack = [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen or node in barriers:
            continue
        if not node.next_functions:
            leaves.add(node)
            continue
        seen.add(node)
        stack += [following for following, _ in node.next_functions]
    return seen, leaves


def leaves_of(output: Tensor, ends: Sequence[Any]) -> list[Tensor]:
    """The leaves that a gradient of ``output`` reaches without passing a node of ``ends``, in an order that the graph fixes."""
    seen, leaves = set(ends), []
    stack = [output.grad_fn]
    while stack:
        node: Any = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if not node.next_functions and hasattr(node, "variable"):
            leaves.append(node.variable)
        stack += [following for following, _ in node.next_functions]
    return leaves


def check_cut(cuts: Sequence[tuple[str, Tensor]], barriers: Sequence[Any]) -> dict[str, list[Tensor]]:
    """Check that no true gradient can cross from one block into another.

    Args:
        cuts: The name of each block, and its output with its autograd graph, once for every call.
        barriers: Nodes that end a block's graph, since they answer for what passes below.

    Returns:
        The parameters that each block's output depends on, also those of modules between the blocks.

    Raises:
        LeakError: two graphs meet, as when a skip connection passes a block by.
    """
    owner: dict[Any, str] = {}
    owned: dict[str, list[Tensor]] = {}
    ends = set(barriers)
    for name, output in cuts:
        nodes, leaves = _nodes(output, ends)
        known = owned.setdefault(name, [])
        ids = {id(parameter) for parameter in known}
        known += [leaf.variable for leaf in leaves if hasattr(leaf, "variable") and id(leaf.variable) not in ids]
        for node in nodes:
            other = owner.setdefault(node, name)
            if other != name and "CompiledFunction" not in node.name():  # after a graph break it may stand for several
                raise LeakError(f"block {name!r}", other, EXAMPLE)
    return owned


def check_output(
    outputs: Iterable[Tensor], cuts: Sequence[tuple[str, Tensor]], ungoverned: Collection[Tensor] = ()
) -> None:
    """Check that what the model returns depends on the blocks below the head through the head alone.

    Args:
        outputs: Of the model; those that depend on neither the head's nor a parameter that is ungoverned, as hidden states
            beside it, are no part of the proof.
        cuts: As of :func:`check_cut`; the head is the last.
        ungoverned: Parameters that are left to backpropagation, as those of a second head, whose error must not go on.

    Raises:
        LeakError: something is added to the head's output that depends on a block below.
    """
    below, (_, scored), left = cuts[:-1], cuts[-1], {id(parameter) for parameter in ungoverned}
    owner = {node: name for name, tap in reversed(below) for node in reach([tap.grad_fn])}
    for output in outputs:
        nodes = reach([output.grad_fn])
        if scored.grad_fn not in nodes and not left & {id(leaf) for leaf in leaves_of(output, [])}:
            continue
        crossed = [owner[node] for node in nodes if node in owner]
        if crossed:
            lower = max(crossed, key=[name for name, _ in below].index)
            raise LeakError("the network's output", lower, "Let the head contain what is added to its output.")
