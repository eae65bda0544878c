"""Proof that the cut is complete: the autograd graphs of any two blocks must not share a node."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor


def reach(starts: Sequence[Any], without: Collection[Any] = ()) -> set[Any]:
    """The nodes of the graphs below ``starts``, which are nodes, not passing any of ``without``; leaves are not among them."""
    seen: set[Any] = set()
    stack = list(starts)
    while stack:
        node = stack.pop()
        if node is None or node in without or node in seen or not node.next_functions:
            continue
        seen.add(node)
        stack += [following for following, _ in node.next_functions]
    return seen


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
        RuntimeError: two graphs meet, as when a skip connection passes a block by.
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
                raise RuntimeError(
                    f"The true gradient leaks from block {name!r} into block {other!r}: a tensor computed in the "
                    "latter reaches the former beside its first input, as a skip connection does. Make the modules it "
                    "spans one block with `blocks=`."
                )
    return owned
