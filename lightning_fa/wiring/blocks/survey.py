"""What one forward pass of the plain model shows: which modules it calls, how often, in which order, and where to cut."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lightning_fa.wiring.blocks.choice import Block, has_matrix, is_scripted
from lightning_fa.wiring.graph import met, reach, walk
from lightning_fa.wiring.tensors import argument, entering, exchange, tensors_in


class Survey:
    """Made by :func:`survey`."""

    def __init__(self) -> None:
        self.spans: dict[nn.Module, list[tuple[int, int]]] = {}
        """Module -> the times at which its calls began and ended. The time counts calls and returns."""
        self._entrances: dict[nn.Module, list[Any]] = {}
        self._inputs: dict[nn.Module, list[Any]] = {}
        """As the entrances, for all inputs of a call: a module may take the outputs of several others."""
        self._exits: dict[nn.Module, list[Any]] = {}
        self._roots: list[Any] = []
        self._time = 0

    @cached_property
    def _above(self) -> set[Any]:
        """All graph nodes that the output of the model depends on."""
        return reach(self._roots)

    def calls(self, module: nn.Module) -> int:
        """How often ``forward`` called the module, with gradients on."""
        return len(self.spans.get(module, ()))

    def first(self, module: nn.Module) -> int:
        """The time of the module's first call; for a module never called, a time after all others."""
        return self.spans[module][0][0] if self.calls(module) else 2 * self._time + 1

    def last(self, module: nn.Module) -> int:
        """The time of the module's last call; 0 for a module never called."""
        return self.spans[module][-1][0] if self.calls(module) else 0

    def in_turn(self, blocks: list[Block]) -> bool:
        """Whether each block is called once, after the block before it has returned."""
        spans = [self.spans.get(block.module, []) for block in blocks]
        if any(len(span) != 1 for span in spans):
            return False
        return all(before[0][1] < after[0][0] for before, after in pairwise(spans))

    def separates(self, module: nn.Module) -> bool:
        """Whether all gradients pass through the entrance of ``module``: the graphs above and below it share no node."""
        entrances = self._entrances.get(module, [])
        if len(entrances) != 1 or self.calls(module) != 1:
            return False
        entrance = entrances[0]
        above, below = reach(self._roots, [entrance]), reach(_below(entrance))
        return bool(below) and not above & below and entrance in self._above

    def feeds(self, lower: nn.Module, upper: nn.Module, others: Collection[nn.Module]) -> bool:
        """Whether each call of ``upper`` takes one output of ``lower``, which goes nowhere else, and no output of ``others``."""
        doors = self._entrances.get(upper, [])
        beside = {node for other in others for node in self._exits.get(other, [])}
        alone = not reach(doors, self._exits.get(lower, [])) & beside
        return alone and self._pairs(lower, doors, self.calls(upper))

    def reaches(self, lower: nn.Module, upper: nn.Module) -> bool:
        """Whether an output of ``lower`` reaches the input of ``upper``; assumed if ``lower`` did not return a single tensor."""
        return self._leads(lower, self._entrances.get(upper, []))

    def enters(self, lower: nn.Module, upper: nn.Module) -> bool:
        """As :meth:`reaches`, for any input of ``upper``."""
        return self._leads(lower, self._inputs.get(upper, []))

    def _leads(self, lower: nn.Module, doors: list[Any]) -> bool:
        exits = set(self._exits.get(lower, []))
        # The walk stops at the first exit, which in a chain comes at once. A whole walk would visit all nodes below.
        return not exits or any(node in exits for node in walk(doors))

    def scores(self, module: nn.Module) -> bool:
        """Whether an output of ``module`` reaches the output of the model."""
        return any(node in self._above for node in self._exits.get(module, []))

    def returned_by(self, inner: nn.Module, outer: nn.Module) -> bool:
        """Whether every call of ``outer`` returns the output of one call of ``inner``, which goes nowhere else."""
        return self._pairs(inner, self._exits.get(outer, []), self.calls(outer))

    def _pairs(self, module: nn.Module, doors: list[Any], calls: int) -> bool:
        exits = self._exits.get(module, [])
        if not exits or not (len(exits) == len(doors) == calls == self.calls(module)):
            return False
        every = set(exits)
        first = [list(met([door], every)) for door in doors]
        if any(len(each) != 1 for each in first) or len({each[0] for each in first}) != len(exits):
            return False
        # An output that enters a later call of the module, as the state of a cell does, goes somewhere else as well.
        own = any(met(_below(node), every) for node in exits)
        return not own and not met(self._roots, every, set(doors) - every)

    # -- recording --------------------------------------------------------------------------------------------------------

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not torch.is_grad_enabled():
            return None
        self._time += 1
        self.spans.setdefault(module, []).append((self._time, self._time))
        self._inputs.setdefault(module, []).extend(tensor.grad_fn for tensor in tensors_in([args, kwargs]))
        key = entering(args, kwargs)
        if key is None or not (h := argument(args, kwargs, key)).requires_grad:
            return None
        entrance = h.clone()  # its node stays the same if a later operation is in place
        self._entrances.setdefault(module, []).append(entrance.grad_fn)
        return exchange(args, kwargs, key, lambda _: entrance)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> Any:
        if not (torch.is_grad_enabled() and self.calls(module)):
            return None
        self._time += 1
        self.spans[module][-1] = (self.spans[module][-1][0], self._time)
        if not isinstance(output, Tensor) or not output.requires_grad:
            return None
        output = output.clone()
        self._exits.setdefault(module, []).append(output.grad_fn)
        return output


def survey(model: nn.Module, run: Callable[[], Any]) -> Survey:
    """Observe ``run``, one forward pass of the plain ``model`` with gradients on. The inputs must require gradients too.

    Without gradients, a skip connection from the data would not show in the graph, and a residual unit at the input would look
    like a chain.
    """
    seen = Survey()
    with ExitStack() as stack:
        for module in model.modules():
            if has_matrix(module) and not is_scripted(module):
                stack.callback(module.register_forward_pre_hook(seen._enter, with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(seen._leave).remove)
        output = run()
    seen._roots = [tensor.grad_fn for tensor in tensors_in(output) if tensor.grad_fn is not None]
    return seen


def _below(node: Any) -> list[Any]:
    return [following for following, _ in node.next_functions]
