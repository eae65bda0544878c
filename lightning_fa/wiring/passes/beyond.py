"""The check that no weight matrix outside of the blocks carries an error into a block.

If a matrix acts on the output of the last block (``h @ self.W`` in a ``forward``), this block is not the head: the error at its
output has come back through the matrix, and the network would learn by weight transport. The same holds if a matrix acts on the
output of a block below, such as that of an auxiliary head that is called in training mode only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.blocks.choice import matches
from lightning_fa.wiring.graph import leaves_below
from lightning_fa.wrappers import named_parameters

ROUTE = "_RouteBackward"
"""The autograd node at the head's output; see ``ops/route.py``."""
PRODUCTS = ("Mm", "Addmm", "Bmm", "Baddbmm", "Mv", "Addmv", "Linear", "Convolution", "Cdist")
"""Beginnings of the names of autograd nodes that multiply with a weight. A penalty on weights is added, and may stand there."""

MARK = "lightning_fa"
"""Key in the metadata of an autograd node at which a block ends."""


def mark(name: str, h: Tensor) -> None:
    """Mark the node of h, the output of block ``name``, so that the check of the loss knows where the block ends."""
    if h.grad_fn is not None:
        _metadata(h.grad_fn)[MARK] = name


class Beyond:
    """Finds weight matrices of ``root`` that act on the output of its head, the block ``head``."""

    def __init__(self, root: nn.Module, ungoverned: Sequence[str], head: str) -> None:
        self.root, self.ungoverned, self.head = root, list(ungoverned), head
        self.proven = False

    def check(self, outputs: Iterable[Tensor], scored: Any = None) -> None:
        """Check the graphs of ``outputs``, down to the node ``scored`` or, without it, to the nodes of the routed output.

        Raises:
            ValueError: a weight matrix acts on the head's output, or, after a dry run, on the output of a block below the head.
        """
        names = {id(p): n for n, p in named_parameters(self.root) if p.ndim >= 2 and FEEDBACK not in n}
        for output in outputs:
            found = sorted({(end, names[id(leaf)]) for end, leaf in self._factors(output, scored) if id(leaf) in names})
            acting = [name for end, name in found if end == self.head and not matches(name, self.ungoverned)]
            if acting:
                raise ValueError(
                    f"The weight matrix {', '.join(acting)} acts on the output of {self.head!r}, the last block, so that the "
                    "error would come back through this matrix. Expected the last block to be the head, which the loss scores: "
                    "apply the matrix in the forward of a module of its own, such as nn.Linear, which is then the last block. Or "
                    "name the matrix in `ungoverned=`: then the matrix learns by backpropagation, and the error is that at the "
                    f"output of {self.head!r}. Or, if it belongs to another network, attach a rule to each network: "
                    "`attach(model.part, ...)`."
                )
            block = next((end for end, _ in found if end != self.head), None)
            if block is not None:
                between = ", ".join(name for end, name in found if end == block)
                raise ValueError(
                    f"The loss depends on the output of block {block!r} through {between}, so that a true error would come back "
                    "through these weights. The run of `example=`, in evaluation mode, did not show it: is it an auxiliary head "
                    "that is called in training mode only? Switch it off, or call it with `h.detach()`: then it learns alone."
                )
        self.proven = scored is None  # a training step may do more to the output than the model's forward

    def _factors(self, output: Tensor, scored: Any) -> Iterator[tuple[str, Tensor]]:
        """``(block, leaf)``: leaves that are multiplied with a tensor that comes from the output of a block."""
        ends: dict[str, list[Any]] = {}
        above: dict[Any, list[Any]] = {}
        seen, stack = set(), [output.grad_fn]
        while stack:
            node = stack.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            end = self.head if node is scored or node.name().startswith(ROUTE) else _metadata(node).get(MARK)
            if end is not None:
                ends.setdefault(end, []).append(node)
                continue
            for below, _ in node.next_functions:
                above.setdefault(below, []).append(node)
                stack.append(below)
        for end, nodes in ends.items():
            path, rising = set(nodes), list(nodes)
            while rising:
                higher = [node for node in above.get(rising.pop(), ()) if node not in path]
                path.update(higher)
                rising += higher
            for node in path.difference(nodes):
                if node.name().startswith(PRODUCTS):
                    for leaf in leaves_below([below for below, _ in node.next_functions if below not in path], []):
                        yield end, leaf


def _metadata(node: Any) -> dict[str, Any]:
    found: dict[str, Any] = node.metadata  # a property, and in PyTorch's stub a method
    return found
