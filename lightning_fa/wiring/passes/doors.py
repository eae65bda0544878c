"""Outputs of blocks that a further loss uses, such as the KL term of a variational autoencoder.

The output of an open block is handed on with its graph, so that the further loss trains the block by its true gradient. The
graph is cut at the doors: the inputs of later blocks that depend on such an output. The dry run finds the doors.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from lightning_fa.wiring.graph import LeakError, leaves_below, met


class Doors:
    """Hands outputs on, and cuts the inputs that depend on them."""

    def __init__(self) -> None:
        self.found: dict[int, list[int]] = {}
        """The number of a block -> the positions of its doors among its flattened inputs. Blocks without doors are not listed."""
        self._owners: dict[Any, str] = {}
        """In a dry run: the node of an output that was handed on -> the name of its block."""

    def hand_on(self, name: str, h: Tensor, rehearsing: bool) -> Tensor:
        """The output h of block ``name``, with its graph. A copy, because the next operation may be in place."""
        handed = h.clone()
        if rehearsing:
            self._owners[handed.grad_fn] = name
        return handed

    def enter(
        self, index: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], rehearsing: bool
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs of block ``name``, the block number ``index``, without the graphs of other blocks.

        Raises:
            LeakError: in a dry run, if parameters between two blocks would lose their error with the graph.
        """
        if rehearsing and self._owners:
            doors = self._find(name, tree_flatten((args, kwargs))[0])
            self.found.pop(index, None)
            if doors:
                self.found[index] = doors
        if index not in self.found:
            return args, kwargs
        values, spec = tree_flatten((args, kwargs))
        for i in self.found[index]:
            if isinstance(values[i], Tensor):
                values[i] = values[i].detach()
        entering: tuple[tuple[Any, ...], dict[str, Any]] = tree_unflatten(values, spec)
        return entering

    def end(self) -> None:
        """End a dry run. No graph is kept."""
        self._owners = {}

    def _find(self, name: str, values: list[Any]) -> list[int]:
        found = []
        for i, value in enumerate(values):
            node = value.grad_fn if isinstance(value, Tensor) else None
            owners = [] if node is None else [self._owners[each] for each in met([node], self._owners)]
            if owners and leaves_below([node], list(self._owners)):
                raise LeakError(f"block {name!r}", owners[0])
            if owners:
                found.append(i)
        return found
