"""Proof that the cut is complete: the autograd graphs of any two blocks must not share a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lightning_fa.wiring.blocks import Block


def _nodes(tensor: Tensor) -> set[Any]:
    # Leaves (AccumulateGrad has no `next_functions`) may be shared: that is weight tying, not a leak.
    seen: set[Any] = set()
    stack = [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen or not node.next_functions:
            continue
        seen.add(node)
        stack += [following for following, _ in node.next_functions]
    return seen


def check_cut(blocks: Sequence[Block], outputs: Sequence[Tensor]) -> None:
    """Check that no true gradient can cross from one block into another.

    Args:
        blocks: The blocks.
        outputs: The output of each, with its autograd graph.

    Raises:
        RuntimeError: two graphs meet, as when a skip connection passes a block by.
    """
    owner: dict[Any, str] = {}
    for block, output in zip(blocks, outputs):
        for node in _nodes(output):
            other = owner.setdefault(node, block.name)
            if other != block.name:
                raise RuntimeError(
                    f"The true gradient leaks from block {block.name!r} into block {other!r}: a tensor computed in the "
                    "latter reaches the former beside its first input, as a skip connection does. Make the modules it "
                    "spans one block with `blocks=`."
                )
