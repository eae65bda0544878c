"""Proof that the cut is complete: the autograd graphs of any two blocks must not share a node."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

EXAMPLE = (
    "Pass `example=`, an input of the model, to `attach` (a LightningModule: set `example_input_array`): the block that the "
    "connection leaves then ends at its own output, and the connection carries no error. If the model has two heads, the message "
    "then says which to leave out. Or name a module that contains the connection in `blocks=[...]`: inside this module learning "
    "is by backpropagation."
)

TRAINING = (
    "This connection exists in training mode only, or it begins at a parameter that was frozen: the pass of `example=`, which is "
    "in evaluation mode, does not show it. Move it into a module and name this module in `blocks=[...]`: inside this module "
    "learning is by backpropagation."
)


class LeakError(RuntimeError):
    """A true gradient would cross from one block into another.

    Attributes:
        upper: The block, or the output, from which the gradient would come.
        lower: The block that the gradient would cross into.
    """

    def __init__(self, upper: str, lower: str, advice: str = "") -> None:
        super().__init__(
            f"The true gradient leaks from {upper} into block {lower!r}: a tensor computed in this block reaches {upper} by a "
            f"second path, such as a skip connection. {advice}"
        )
        self.upper, self.lower = upper, lower


def walk(starts: Iterable[Any], without: Collection[Any] = ()) -> Iterator[Any]:
    """The nodes of the graphs below the nodes ``starts``, without leaves. The walk does not pass the nodes ``without``."""
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
    """All nodes that :func:`walk` yields."""
    return set(walk(starts, without))


def met(starts: Collection[Any], wanted: Collection[Any], without: Collection[Any] = ()) -> set[Any]:
    """The nodes of ``wanted`` that paths down from the nodes ``starts`` meet first."""
    reached = reach(starts, {*wanted, *without})
    return {*wanted} & {*starts, *(following for node in reached for following, _ in node.next_functions)}


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
    return leaves_below([output.grad_fn], ends)


def leaves_below(starts: Iterable[Any], ends: Sequence[Any]) -> list[Tensor]:
    """As :func:`leaves_of`, from nodes."""
    seen, leaves = set(ends), []
    stack = list(starts)
    while stack:
        node: Any = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if not node.next_functions and hasattr(node, "variable"):
            leaves.append(node.variable)
        stack += [following for following, _ in node.next_functions]
    return leaves


def check_cut(
    cuts: Sequence[tuple[str, Tensor]], barriers: Sequence[Any], advice: str = EXAMPLE
) -> dict[str, list[Tensor]]:
    """Check that no true gradient can cross from one block into another.

    Args:
        cuts: The name of each block, and its output with its autograd graph, once for every call.
        barriers: Nodes that end a block's graph, because they decide which error passes below them.
        advice: What the message says to do.

    Returns:
        The parameters that each block's output depends on, also those of modules between the blocks.

    Raises:
        LeakError: two graphs share a node, for example through a skip connection past a block.
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
            if other != name and "CompiledFunction" not in node.name():  # this may stand for several blocks
                raise LeakError(f"block {name!r}", other, advice)
    return owned


def check_output(
    outputs: Iterable[Tensor], cuts: Sequence[tuple[str, Tensor]], ungoverned: Collection[Tensor] = ()
) -> None:
    """Check that what the model returns depends on the blocks below the head through the head alone.

    Args:
        outputs: The tensors that the model returned. A tensor that depends neither on the head's output nor on an excluded
            parameter, such as a hidden state, is not checked.
        cuts: As in :func:`check_cut`; the head is the last.
        ungoverned: Excluded parameters, such as those of a second head. Its error must not enter the blocks either.

    Raises:
        LeakError: an output depends on a block below the head by a path past the head.
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
            raise LeakError("the network's output", lower, "Move what is added to the head's output into the head.")
