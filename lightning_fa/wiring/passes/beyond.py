"""The check that the last block is the head: no weight matrix acts on its output any more.

If one does (``h @ self.W`` in a ``forward``), the error at the output of the last block has come back through this matrix: the
network would learn by weight transport.
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


class Beyond:
    """Finds weight matrices of ``root`` that act on the output of its head, the block ``head``."""

    def __init__(self, root: nn.Module, ungoverned: Sequence[str], head: str) -> None:
        self.root, self.ungoverned, self.head = root, list(ungoverned), head
        self.proven = False

    def check(self, outputs: Iterable[Tensor], scored: Any = None) -> None:
        """Check the graphs of ``outputs``, down to the node ``scored`` or, without it, to the node of the routed output.

        Raises:
            ValueError: a weight matrix acts on the head's output.
        """
        names = {id(p): n for n, p in named_parameters(self.root) if p.ndim >= 2 and FEEDBACK not in n}
        for output in outputs:
            found = {names[id(leaf)] for leaf in _factors(output.grad_fn, scored) if id(leaf) in names}
            acting = sorted(name for name in found if not matches(name, self.ungoverned))
            if acting:
                raise ValueError(
                    f"The weight matrix {', '.join(acting)} acts on the output of {self.head!r}, the last block, so that the "
                    "error would come back through this matrix. Expected the last block to be the head, which the loss scores: "
                    "apply the matrix in the forward of a module of its own, such as nn.Linear, which is then the last block. Or "
                    "name the matrix in `ungoverned=`: then the matrix learns by backpropagation, and the error is that at the "
                    f"output of {self.head!r}."
                )
        self.proven = scored is None  # a training step may do more to the output than the model's forward


def _factors(start: Any, scored: Any) -> Iterator[Tensor]:
    """Leaves that are multiplied with a tensor that comes from the head's output."""
    ends: list[Any] = []
    above: dict[Any, list[Any]] = {}
    seen, stack = set(), [start]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node is scored or node.name().startswith(ROUTE):
            ends.append(node)
            continue
        for below, _ in node.next_functions:
            above.setdefault(below, []).append(node)
            stack.append(below)
    path = set(ends)
    while ends:
        higher = [node for node in above.get(ends.pop(), ()) if node not in path]
        path.update(higher)
        ends += higher
    for node in path:
        if node is not scored and node.name().startswith(PRODUCTS):
            yield from leaves_below([below for below, _ in node.next_functions if below not in path], [])
