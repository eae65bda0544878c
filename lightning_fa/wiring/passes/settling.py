"""Gradients in the forward pass: if a block needs nothing from above, its gradients are computed right after the block.

Its graph is then dropped. A step holds the graph of one block only, whatever the depth. The gradients wait for ``backward()``.
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
from lightning_fa.wiring.checkpoints import in_checkpoint
from lightning_fa.wiring.graph import leaves_of
from lightning_fa.wiring.passes.course import Course, Tap
from lightning_fa.wiring.passes.isolation import Isolation
from lightning_fa.wiring.passes.step import Step
from lightning_fa.wiring.passes.waiting import Factor, Waiting
from lightning_fa.wiring.stores.block_feedback import BlockFeedback
from lightning_fa.wiring.stores.rows import Layout
from lightning_fa.wiring.tensors import without_autocast


class Settler:
    """Computes gradients in the forward pass ("settles" blocks), for families whose blocks need nothing from above.

    The graph of a block still waits for ``backward()``, as under other families,

    * if it holds less memory than the gradients, or if all graphs together hold next to nothing;
    * in the first forward pass, unless a dry run has drawn the feedback and checked the cut;
    * in compiled code, in an activation checkpoint, and under FSDP;
    * if the output of the block has a new shape;
    * if any block is called several times or ends at its own output;
    * after a gradient was differentiated again.
    """

    def __init__(
        self, root: nn.Module, step: Step, course: Course, isolation: Isolation, feedback: BlockFeedback
    ) -> None:
        self.step, self.course, self.isolation, self.feedback = step, course, isolation, feedback
        self.factor = Factor()
        self._shards = Shards(root, course)
        self._inputs: list[tuple[Any, Tensor, int]] = []
        self._waiting: Waiting | None = None
        """``None`` in a pass whose gradients cannot be computed in forward."""

    # -- for a family -----------------------------------------------------------------------------------------------------

    def ready(self, name: str, h: Tensor) -> Layout | None:
        """How h lines up with the output that the head will have; ``None`` if the block's graph must wait."""
        if not self._can() or in_checkpoint():
            return None
        layout = self.feedback.layout(name)
        return layout if layout is not None and self.feedback.fits(name, h, layout) else None

    def due(self, name: str, h: Tensor) -> Layout | None:
        """As :meth:`ready`; ``None`` also if h requires no gradient, or if computing the gradients now saves no memory."""
        if not (self._can() and h.requires_grad and self.pays(name, h)):  # asked first, because it costs least
            return None
        return self.ready(name, h)

    def pays(self, name: str, h: Tensor) -> bool:
        """Whether the graph of block ``name``, whose output is h, holds more memory than its gradients.

        All gradients exist at the end of the backward pass, so a graph that holds less does not raise the peak. A block whose
        loss was not counted yet is assumed to hold more.
        """
        if self.step.settles == "always" or not self.step.held.counted(name):
            return True
        return self.step.held.saves(name, h, self._tensors).get(name, 0.0) > 0

    def pays_anywhere(self, name: str, h: Tensor) -> bool:
        """Whether the graph of any block holds more memory than its gradients, if the output of block ``name`` is h."""
        return self.step.settles == "always" or any(
            saved > 0 for saved in self.step.held.saves(name, h, self._tensors).values()
        )

    def settle(self, output: Tensor, error: Tensor, scale: Tensor, below: Tensor | None = None) -> Tensor | None:
        """Compute the gradients of all leaves of ``output`` and keep them for the loss.

        Args:
            output: The tensor to differentiate.
            error: The error at ``output``, with the factor ``scale`` in it.
            scale: The factor that is expected before the loss.
            below: A leaf whose gradient is not kept.

        Returns:
            The gradient of ``below``.
        """
        # If an input was changed in place, this gradient is not its gradient: the walk goes on below it.
        inputs = [(edge, x) for edge, x, version in self._inputs if x._version == version]
        self._inputs = []
        leaves = [leaf for leaf in leaves_of(output, [edge.node for edge, _ in inputs]) if leaf is not below]
        self.isolation.check_leaves(self.course.taps[-1].name, leaves)
        places = [*leaves, *(x for _, x in inputs)]
        wanted = [*leaves, *(edge for edge, _ in inputs), *([] if below is None else [below])]
        found = _gradients(output, error, wanted)
        assert self._waiting is not None  # `ready` has checked it
        self._waiting.add(places, found, scale)
        return found[-1] if below is not None else None

    def let_go(self) -> None:
        """Keep the shape of the last block's output. Drop its values and its graph."""
        name, h, _ = self.course.taps[-1]
        self.course.taps[-1] = Tap(name, h.new_zeros(()).expand(h.shape), 0)

    # -- for the forward pass ---------------------------------------------------------------------------------------------

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Begin a pass. Returns the inputs of the first block. An input with a graph is cloned, so that its node is known."""
        self._inputs, self._waiting = [], Waiting() if self._settles() else None
        self.step.held.begin()
        if self.step.rehearsing:
            parameters = chain.from_iterable(block.module.parameters() for block in self.course.blocks)
            entering = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
            self.step.held.given([*parameters, *entering])
        if self._waiting is None or in_checkpoint():
            return args, kwargs
        return tuple(self._mark(value) for value in args), {key: self._mark(value) for key, value in kwargs.items()}

    def end(self) -> None:
        """End a pass: add a term to the loss that hands out the gradients of the pass."""
        if self._waiting is not None and self._waiting.places:
            self.step.terms.append(self._waiting.term())
        self._inputs, self._waiting = [], None

    def observe(self, loss: Tensor) -> None:
        """Record, in backward, the factor before ``loss``."""
        if loss.requires_grad and not torch.compiler.is_compiling() and self.step.settles != "never":
            loss.register_hook(self.factor.note)

    def _tensors(self, name: str) -> list[Tensor]:
        return [*self.isolation.owned.get(name, ()), *self.feedback.theta(name).values()]

    def _settles(self) -> bool:
        if torch.compiler.is_compiling() or self.step.rehearsing or self.factor.twice:
            return False
        if self.step.settles == "never":
            return False
        if not self.isolation.proven:
            return False
        if not self.course.chain:  # one call gives a part of a block's gradient, and several blocks may lie below
            return False
        return not self._shards.found()

    def _can(self) -> bool:
        # A pass that settles may call a block that is compiled by itself.
        return self._waiting is not None and not torch.compiler.is_compiling()

    def _mark(self, value: Any) -> Any:
        # An input of the network may have a graph of its own. Its gradient goes there in the one backward pass.
        if not isinstance(value, Tensor) or value.grad_fn is None:
            return value
        entrance = value.clone()  # its node stays the same if the block works on it in place
        self._inputs.append((get_gradient_edge(entrance), value, value._version))
        return entrance


class Shards:
    """Whether FSDP manages the model. First asked after any dry run, because strategies shard later than that."""

    def __init__(self, root: nn.Module, course: Course) -> None:
        self._root: nn.Module | None = root
        self._course = course
        self._found: bool | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_root": None}  # a copy of a block must not copy the whole model

    def found(self) -> bool:
        """The first answer is kept."""
        if not (dist.is_available() and dist.is_initialized()):
            return False
        if self._found is None:
            roots = [block.module for block in self._course.blocks] if self._root is None else [self._root]
            self._found, self._root = any(map(has_shards, roots)), None
        return self._found


def _gradients(output: Tensor, error: Tensor, wanted: Sequence[Any]) -> list[Tensor | None]:
    # A leaf's own hooks run when its gradient arrives in the one backward pass. They must not run here as well.
    hooks = [leaf._backward_hooks for leaf in wanted if isinstance(leaf, Tensor) and leaf._backward_hooks]
    held = [dict(each) for each in hooks]
    for each in hooks:
        each.clear()
    try:
        # Autocast is off, as in backward. The graph is not freed, because a user who holds h may still differentiate it.
        with without_autocast(output):
            return list(torch.autograd.grad(output, wanted, error, retain_graph=True, allow_unused=True))
    finally:
        for each, saved in zip(hooks, held):
            each.update(saved)
