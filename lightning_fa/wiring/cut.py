"""The cut that direct, local and synthetic-gradient rules share: where one block's output enters the next block.

The cut is made at the next block's *input* (pooling, normalisation and activations between two blocks belong to the first)
and never with ``requires_grad``: autograd then computes no error that crosses a block, which is what these rules save.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from lightning_fa.ops import join
from lightning_fa.rules.base import Rule
from lightning_fa.sharding import check_gathered
from lightning_fa.surgery import FEEDBACK, Behaviour, adopt
from lightning_fa.wiring.base import ABOVE, Row, recomputing
from lightning_fa.wiring.blocks import Block, carrier_of, weights_of
from lightning_fa.wiring.graph import check_cut
from lightning_fa.wiring.holding import HoldingWiring, key_of, shapes_of
from lightning_fa.wiring.rows import Layout
from lightning_fa.wrappers import named_modules


class Bounded(Behaviour):
    """A block whose input is cut from the block below, and, for the last one, whose output is routed."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring, index = self._feedback_port
        args, kwargs = wiring.enter(index, args, kwargs)
        wiring.inside = not recomputing()
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring.inside = False
        if index < len(wiring.blocks) - 1:
            return wiring.passed(index, out)
        with outside_checkpoints():
            return wiring.leave(out)


class CutWiring(HoldingWiring):
    """Abstract. Cuts between ``blocks``; a family says what crosses a cut, and what happens at the output.

    Args:
        rule: The rule.
        blocks: In the order in which the network calls them; the last is the head.
    """

    error = ""
    """What the table calls the error of a block below the head."""

    def __init__(self, rule: Rule, blocks: Sequence[Block]) -> None:
        super().__init__(rule, blocks)
        self.owned: dict[str, list[Tensor]] = {}
        """Block -> the parameters that its error governs, as the graph of the first forward pass shows."""
        self.inside = False
        """Whether a block is running; between two forward passes: whether the last one ended there, by an error."""
        self._taps: list[Tensor] = []
        self._terms: list[Tensor] = []
        self._before: int | None = None
        self._barriers: list[Any] = []
        self._open = False
        self._checked = False
        self._looked = False
        for index, block in enumerate(self.blocks):
            adopt(block.module, Bounded, (self, index))
            self.adopted.append(block.module)

    # -- what a family says -----------------------------------------------------------------------------------------------

    @abstractmethod
    def finish(self, output: Tensor, taps: list[Tensor], layouts: list[Layout]) -> Tensor:
        """The network's output, from which the errors come; ``taps`` are the outputs of the blocks below."""

    def error_at(self, name: str) -> str:
        """What the table calls the error of block ``name``, below the head."""
        return self.error if self.feeds(name) else ABOVE

    def cross(self, name: str, h: Tensor) -> Tensor:
        """What enters the next block for the output h of block ``name``."""
        return h.detach()

    def again(self, name: str, h: Tensor) -> Tensor:
        """The same in a checkpoint's recomputation, where nothing is recorded."""
        return h.detach()

    def passed(self, index: int, out: Any) -> Any:
        """What block ``index`` below the head returns for its own ``out``."""
        return out

    # -- one forward pass: enter, enter, ..., leave -----------------------------------------------------------------------

    def enter(
        self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Record the tensor among a block's inputs that is the output of the block below, and hand on its value."""
        if index == 0:
            if not recomputing():
                self._start()
            return args, kwargs
        name = self.below[index - 1]
        inputs: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        key = carrier_of(inputs)
        if key is None:
            raise TypeError(f"Block {self.blocks[index].name!r} was called without a tensor to cut the graph at.")
        if recomputing():
            inputs[key] = self.again(name, inputs[key])
        else:
            if not self._open or len(self._taps) != index - 1:
                raise self._disorder(index)
            self._taps.append(inputs[key])
            self._open = False  # should the targets be missing, so that the next pass is no second call within this one
            inputs[key] = self.cross(name, inputs[key])
            self._open = True
        return tuple(inputs[i] for i in range(len(args))), {k: inputs[k] for k in kwargs}

    def leave(self, output: Any) -> Any:
        """Route the head's output, the last step of the forward pass."""
        head = self.blocks[-1].name
        if not isinstance(output, Tensor):
            raise TypeError(f"The head {head!r} returned a {type(output).__name__}, expected one tensor (the logits).")
        if recomputing():
            return output
        if len(self._taps) != len(self.below):
            raise self._disorder(len(self.blocks) - 1)
        taps, self._taps, self._open, self._before = self._taps, [], False, None
        if not self._checked and not torch.compiler.is_compiling():
            cuts = [(name, tap) for name, tap in zip(self.below, taps) if self.feeds(name)]
            self.owned = check_cut([*cuts, (head, output)], self._barriers)
            self._checked, self._barriers = True, []
        layouts = [self.fit(name, tap, output) for name, tap in zip(self.below, taps)]
        if self.rehearsing:
            return output
        for name in self.below if self.rule.learned else ():
            check_gathered({key_of(name, letter): held for letter, held in self.theta(name).items()})
        routed = self.finish(output, taps, layouts)
        if not torch.compiler.is_compiling():
            self._looked = True
        return routed

    def join(self, loss: Tensor) -> Tensor:
        if not self._terms:
            return loss
        terms, self._terms = self._terms, []
        return join(loss, terms)

    def forget(self) -> None:
        self._terms = []

    def looks(self) -> bool:
        """Whether this pass checks what its targets hold: every one on the CPU, elsewhere the first, since a look waits."""
        if torch.compiler.is_compiling() or self.targets is None:
            return False
        return self.targets.device.type == "cpu" or not self._looked

    def table(self) -> list[Row]:
        rows = []
        for block in self.blocks:
            below = block.name in self.below
            weights = [
                f"{n}.{w}".lstrip(".")
                for n, m in named_modules(block.module)
                for w in weights_of(m)
                if not w.startswith(FEEDBACK)
            ]
            error = self.error_at(block.name) if below else "e, the true error"
            held = shapes_of(self.theta(block.name))
            unknown = "?" if block.name not in self._drawn and below and self.feeds(block.name) else "-"
            rows.append(Row(block.name, type(block.module).__name__, ", ".join(weights), error, held or unknown))
        return rows

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        unfinished = self._open and not self._checked and not self.inside
        self._taps, self._open, self.inside = [], not unfinished, False
        if self._before is not None:  # of a pass that an error has ended; those before it may still belong to a loss
            self._terms = self._terms[: self._before]
        self._before = len(self._terms)
        if unfinished:
            raise RuntimeError(
                f"Block {self.blocks[0].name!r} was called again without a call of the head {self.blocks[-1].name!r} between: "
                "it is called twice in one forward pass, or `forward` never called the head, so that no block received an "
                "error: name the modules that `forward` calls, once each, the one that returns the logits last, in `blocks`, and "
                "those that it does not call, as a frozen teacher or another network, in `ungoverned`; "
                "or an error ended the pass before between two blocks: then call it again."
            )

    def _disorder(self, index: int) -> RuntimeError:
        due = min(len(self._taps) + 1, len(self.blocks) - 1) if self._open else 0
        called, expected = self.blocks[index].name, self.blocks[due].name
        self._taps, self._open = [], False
        return RuntimeError(
            f"Block {called!r} was called where {expected!r} was expected: a block is called twice in one forward pass, "
            "left out, or the blocks are called in another order. Pass `example=`, an input of the model, to `attach` (a "
            "LightningModule: set `example_input_array`), from which automatic choice sees the order, or name blocks that are "
            "called once each with `blocks=[...]` in the order of the calls (a module that is used several times belongs inside "
            "one block; one that `forward` never calls into `ungoverned=`, or attach a rule to each of several networks)."
        )


def outside_checkpoints() -> AbstractContextManager[Any]:
    """Where a block lies in an activation checkpoint, what the library saves must not count as the block's own."""
    if torch.compiler.is_compiling():
        return nullcontext()
    return saved_tensors_hooks(_same, _same)


def _same(saved: Any) -> Any:
    return saved
