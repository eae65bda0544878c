"""Gradients in the forward pass: what needs nothing from above is computed right after the block, and its graph let go.

The memory of a step is then that of one block, whatever the depth. What waits for ``backward()`` are the gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from lightning_fa.sharding import has_shards
from lightning_fa.wiring.block_feedback import BlockFeedback
from lightning_fa.wiring.checkpoints import in_checkpoint
from lightning_fa.wiring.course import Course
from lightning_fa.wiring.graph import leaves_of
from lightning_fa.wiring.isolation import Isolation
from lightning_fa.wiring.rows import Layout
from lightning_fa.wiring.step import Step
from lightning_fa.wiring.tensors import without_autocast
from lightning_fa.wiring.waiting import Factor, Waiting


class Settler:
    """For families whose blocks need nothing from above.

    Graphs wait for ``backward()`` as those of other families do where they hold less than the gradients, or all of them next to
    nothing, since memory is what settling saves; in the first forward pass, unless a rehearsal has drawn the feedback and checked
    the cut; in compiled code; in an activation checkpoint; under FSDP; where an output has a new shape; where a block ends at its
    own output.
    """

    def __init__(
        self, root: nn.Module, step: Step, course: Course, isolation: Isolation, feedback: BlockFeedback
    ) -> None:
        self.step, self.course, self.isolation, self.feedback = step, course, isolation, feedback
        self.factor = Factor()
        self._shards = Shards(root, course)
        self._inputs: list[tuple[Any, Tensor, int]] = []
        self._waiting: Waiting | None = None
        """In a pass whose gradients can be computed now."""

    # -- for a family -----------------------------------------------------------------------------------------------------

    def ready(self, name: str, h: Tensor) -> Layout | None:
        """How h lines up with the output that the head will have; ``None`` where the block's graph must wait."""
        layout = None if self._waiting is None or in_checkpoint() else self.feedback.layouts.get(name)
        return layout if layout is not None and self.feedback.fits(name, h, layout) else None

    def due(self, name: str, h: Tensor) -> Layout | None:
        """The same where the gradients of block ``name`` are to be computed now; ``None`` also where that does not pay."""
        layout = self.ready(name, h) if h.requires_grad else None
        return layout if layout is not None and self.pays(name, h) else None

    def pays(self, name: str, h: Tensor) -> bool:
        """Whether block ``name``, whose output is h, holds more for ``backward()`` than its gradients.

        Those are all there at the end of the backward pass, so that a graph which holds less adds nothing to the peak. A block
        whose loss was not counted yet may hold anything.
        """
        if self.step.settles == "always" or not self.step.held.counted(name):
            return True
        return self.step.held.saves(name, h, self._tensors).get(name, 0.0) > 0

    def pays_anywhere(self, name: str, h: Tensor) -> bool:
        """Whether any block does, where the output of block ``name`` is h."""
        return self.step.settles == "always" or any(
            saved > 0 for saved in self.step.held.saves(name, h, self._tensors).values()
        )

    def settle(self, output: Tensor, error: Tensor, scale: Tensor, below: Tensor | None = None) -> Tensor | None:
        """Compute the gradients of all that ``output`` depends on, given its ``error`` at ``scale``; they wait for the loss.

        Returns:
            The gradient of ``below``, a leaf among them that does not wait.
        """
        # An input that was changed in place since is no place for this gradient: the walk passes through.
        inputs = [(edge, x) for edge, x, version in self._inputs if x._version == version]
        self._inputs = []
        leaves = [leaf for leaf in leaves_of(output, [edge.node for edge, _ in inputs]) if leaf is not below]
        places = [*leaves, *(x for _, x in inputs)]
        wanted = [*leaves, *(edge for edge, _ in inputs), *([] if below is None else [below])]
        found = _gradients(output, error, wanted)
        assert self._waiting is not None  # `ready` has said so
        self._waiting.add(places, found, scale)
        return found[-1] if below is not None else None

    def let_go(self) -> None:
        """Keep of the last block's output its shape, and neither its values nor its graph."""
        name, h = self.course.taps[-1]
        self.course.taps[-1] = name, h.new_zeros(()).expand(h.shape)

    # -- for the forward pass ---------------------------------------------------------------------------------------------

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inputs of the first block, marked where they come from a graph of others."""
        self._inputs, self._waiting = [], Waiting() if self._settles() else None
        if self.step.rehearsing:
            parameters = chain.from_iterable(block.module.parameters() for block in self.course.blocks)
            entering = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
            self.step.held.given([*parameters, *entering])
        if self._waiting is None or in_checkpoint():
            return args, kwargs
        return tuple(self._mark(value) for value in args), {key: self._mark(value) for key, value in kwargs.items()}

    def end(self) -> None:
        """The gradients of the pass wait for the loss."""
        if self._waiting is not None and self._waiting.places:
            self.step.terms.append(self._waiting.term())
        self._inputs, self._waiting = [], None

    def observe(self, loss: Tensor) -> None:
        """Learn, in backward, the factor before ``loss``."""
        if loss.requires_grad and not torch.compiler.is_compiling() and self.step.settles != "never":
            loss.register_hook(self.factor.note)

    def _tensors(self, name: str) -> list[Tensor]:
        return [*self.isolation.owned[name], *self.feedback.theta(name).values()]

    def _settles(self) -> bool:
        if torch.compiler.is_compiling() or self.step.rehearsing or self.factor.twice:
            return False
        if self.step.settles == "never":
            return False
        if not self.isolation.proven:
            return False
        if not self.course.chain:  # one call of a block is not all of it, and the block below not all that is below
            return False
        return not self._shards.found()

    def _mark(self, value: Any) -> Any:
        # What the network is fed may come from a graph of others: its gradient goes there in the one backward pass.
        if not isinstance(value, Tensor) or value.grad_fn is None:
            return value
        entrance = value.clone()  # a node of its own, whatever the block does to it in place
        self._inputs.append((get_gradient_edge(entrance), value, value._version))
        return entrance


class Shards:
    """Whether FSDP manages the model. Asked after the rehearsal, which comes before strategies shard."""

    def __init__(self, root: nn.Module, course: Course) -> None:
        self._root: nn.Module | None = root
        self._course = course
        self._found: bool | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_root": None}  # a copy of a part must not bring the whole

    def found(self) -> bool:
        """The answer to the first question holds."""
        if not (dist.is_available() and dist.is_initialized()):
            return False
        if self._found is None:
            roots = [block.module for block in self._course.blocks] if self._root is None else [self._root]
            self._found, self._root = any(map(has_shards, roots)), None
        return self._found


def _gradients(output: Tensor, error: Tensor, wanted: Sequence[Any]) -> list[Tensor | None]:
    # A leaf's own hooks run where its gradient arrives, in the one backward pass, and not here as well.
    hooks = [leaf._backward_hooks for leaf in wanted if isinstance(leaf, Tensor) and leaf._backward_hooks]
    held = [dict(each) for each in hooks]
    for each in hooks:
        each.clear()
    try:
        # As in backward, autocast is off. The graph is not freed but dropped: whoever holds h can still differentiate it.
        with without_autocast(output):
            return list(torch.autograd.grad(output, wanted, error, retain_graph=True, allow_unused=True))
    finally:
        for each, saved in zip(hooks, held):
            each.update(saved)
