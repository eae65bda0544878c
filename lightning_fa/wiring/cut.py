"""The cut that direct, local and synthetic-gradient rules share: where one block's output enters the next block.

The cut is made at the next block's *input* (pooling, normalisation and activations between two blocks belong to the first)
and never with ``requires_grad``: autograd then computes no error that crosses a block, which is what these rules save.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_map_only

from lightning_fa.ops import join
from lightning_fa.rules.base import Rule
from lightning_fa.sharding import check_gathered
from lightning_fa.surgery import FEEDBACK, Behaviour, adopt
from lightning_fa.wiring.base import ABOVE, Row, recomputing
from lightning_fa.wiring.blocks import Block, carrier_of, weights_of
from lightning_fa.wiring.course import Course, Tap
from lightning_fa.wiring.graph import check_cut, check_output, leaves_of
from lightning_fa.wiring.holding import HoldingWiring, key_of, shapes_of
from lightning_fa.wiring.rows import Layout
from lightning_fa.wiring.tensors import tensors_in
from lightning_fa.wrappers import named_modules, named_parameters

LEFT = "none of the rule's: ungoverned, frozen, or not used"


class Bounded(Behaviour):
    """A block whose input is cut from the block below, and, for the last one, whose output is routed."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring, index = self._feedback_port
        args, kwargs = wiring.enter(index, args, kwargs)
        wiring.course.inside = not recomputing()
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring.course.inside = False
        block = wiring.blocks[index]
        if block.exit is self:
            return wiring.end(index, out)
        if index < len(wiring.blocks) - 1:
            return wiring.passed(index, out)
        with outside_checkpoints():
            return wiring.leave(out)


class Exit(Behaviour):
    """A module around a block, whose output ends the block."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring, index = self._feedback_port
        return wiring.end(index, out) if torch.is_grad_enabled() else out


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
        self.course = Course(blocks)
        self._terms: list[Tensor] = []
        self._before: int | None = None
        self._barriers: list[Any] = []
        self._cuts: list[Tap] = []
        self._beside: list[Tap] = []
        self._checked = False
        self._looked = False
        self._chain = not any(block.often or block.exit for block in self.blocks)
        for index, block in enumerate(self.blocks):
            self._adopt(block.module, Bounded, index)
            if block.exit is not None and block.exit is not block.module:
                self._adopt(block.exit, Exit, index)

    # -- what a family says -----------------------------------------------------------------------------------------------

    @abstractmethod
    def finish(self, output: Tensor, taps: list[Tap], layouts: list[Layout]) -> Tensor:
        """The network's output, from which the errors come; ``taps`` are the outputs of the blocks below, by name."""

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
        if not recomputing():
            if self.course.begins(index):
                self._start()
            self.course.call(index)
        if index == 0 or self.blocks[index - 1].exit is not None:
            return args, kwargs
        inputs: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        key = carrier_of(inputs)
        if key is None:
            raise TypeError(f"Block {self.blocks[index].name!r} was called without a tensor to cut the graph at.")
        inputs[key] = self._cut(self.below[index - 1], inputs[key])
        return tuple(inputs[i] for i in range(len(args))), {k: inputs[k] for k in kwargs}

    def end(self, index: int, out: Any) -> Any:
        """Record the output of a block that ends there, its first tensor with a gradient, and hand on its value.

        Other tensors that are returned beside it, as the memory of an LSTM's cell, receive no error.
        """
        tensors = [tensor for tensor in tensors_in(out) if tensor.requires_grad]
        name = self.blocks[index].name
        if not tensors or not self.feeds(name):
            return out
        if not isinstance(out, (Tensor, tuple, list)):
            raise TypeError(
                f"Block {name!r} ends at its own output and returned a {type(out).__name__}: expected a tensor, or a tuple or "
                "list whose first tensor is the output. Make a module that contains all its calls one block with `blocks=`."
            )
        self._beside += [(name, tensor) for tensor in tensors[1:]] if self.rehearsing else []
        first = self._cut(name, tensors[0]).clone()  # what comes next may work in place
        return tree_map_only(Tensor, lambda t: first if t is tensors[0] else t.detach() if t.requires_grad else t, out)

    def _cut(self, name: str, h: Tensor) -> Tensor:
        if recomputing():
            return self.again(name, h)
        self.course.taps.append((name, h))
        self.course.open = (
            False  # should the targets be missing, so that the next pass is no second call within this one
        )
        crossed = self.cross(name, h)
        self.course.open = True
        return crossed

    def leave(self, output: Any) -> Any:
        """Route the head's output, the last step of the forward pass."""
        head = self.blocks[-1].name
        if not isinstance(output, Tensor):
            raise TypeError(f"The head {head!r} returned a {type(output).__name__}, expected one tensor (the logits).")
        if recomputing():
            return output
        taps, self._before = self.course.finish(), None
        if (self.rehearsing or not self._checked) and not torch.compiler.is_compiling():
            cuts = [(name, tap) for name, tap in taps if self.feeds(name)]
            self.owned = check_cut([*cuts, (head, output)], self._barriers)
            self._check_own()
            self._checked, self._barriers = True, []
            self._cuts = [*cuts, (head, output)] if self.rehearsing else []
        layouts = [self.fit(name, tap, output) for name, tap in taps]
        if self.rehearsing:
            return output
        for name in self.below if self.rule.learned else ():
            check_gathered({key_of(name, letter): held for letter, held in self.theta(name).items()})
        routed = self.finish(output, taps, layouts)
        if not torch.compiler.is_compiling():
            self._looked = True
        return routed

    def prove_output(self, output: Any, ungoverned: Collection[Tensor] = ()) -> None:
        """Check what the model returned in a rehearsal.

        Raises:
            LeakError: it depends on a block below the head beside the head, or a head that is ``ungoverned`` does.
        """
        cuts, self._cuts = self._cuts, []
        if cuts:
            check_output(tensors_in(output), cuts, ungoverned)

    def join(self, loss: Tensor) -> Tensor:
        if not self._terms:
            return loss
        terms, self._terms, self.targets = self._terms, [], None
        return join(loss, terms)

    def forget(self) -> None:
        self._terms, self._before = [], None
        self.course.drop()

    def looks(self) -> bool:
        """Whether this pass checks what its targets hold: every one on the CPU, elsewhere the first, since a look waits."""
        if torch.compiler.is_compiling() or self.targets is None:
            return False
        return self.targets.device.type == "cpu" or not self._looked

    def table(self, root: nn.Module) -> list[Row]:
        rows = self._of_blocks()
        if not any(self.feeds(name) for name in self.below):
            return rows
        inside = {id(p) for module in self.adopted for p in module.parameters()}
        names = {id(p): n for n, p in named_parameters(root) if p.ndim >= 2 and FEEDBACK not in n}
        around = {key: name for key, name in names.items() if key not in inside}
        lost, error = list(around.values()), "that of the block that they reach"
        if self.owned:
            reached = {id(p) for owned in self.owned.values() for p in owned}
            lost, error = [n for key, n in names.items() if key not in reached], LEFT
        for i, row in enumerate(rows):
            more = [around[id(p)] for p in self.owned.get(row.name, ()) if id(p) in around]
            rows[i] = row._replace(governs=", ".join([row.governs, *more]))
        return [*rows, Row("-", "-", ", ".join(lost), error, "-")] if lost else rows

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _of_blocks(self) -> list[Row]:
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

    def _adopt(self, module: nn.Module, behaviour: type[Behaviour], index: int) -> None:
        adopt(module, behaviour, (self, index))
        self.adopted.append(module)

    def _check_own(self) -> None:
        beside, self._beside = self._beside, []
        for name, tensor in beside:
            learning = {id(p) for p in self.owned.get(name, ())}
            met = {id(p) for p in leaves_of(tensor, [])}
            lost = [n for n, p in self.modules[name].named_parameters() if id(p) in met - learning]
            if lost:
                raise ValueError(
                    f"Block {name!r} returns several tensors, of which the first receives the error, and nothing would train "
                    f"{', '.join(lost)}, on which only the others depend. Name a module around it in `blocks=[...]` that returns "
                    "one tensor."
                )
        for block in self.blocks:
            own = {id(p) for p in block.module.parameters()}
            if not self.feeds(block.name):
                continue  # it learns by the error of the block above, as it shall
            left = own - {id(p) for p in self.owned.get(block.name, ())}
            for other in self.blocks:
                theirs = {id(p) for p in self.owned.get(other.name, ())} - {id(p) for p in other.module.parameters()}
                if other is not block and left & theirs:
                    raise RuntimeError(
                        f"The error of block {other.name!r} would train block {block.name!r}, whose output does not enter the "
                        "block after it: they are two ways beside each other. Pass `example=`, an input of the model, to "
                        "`attach` (a LightningModule: set `example_input_array`), which shows where each block ends."
                    )

    def _start(self) -> None:
        if self._before is not None:  # of a pass that an error has ended; those before it may still belong to a loss
            self._terms = self._terms[: self._before]
        self._before = len(self._terms)
        self.course.begin(self._checked)


def in_checkpoint() -> bool:
    """Whether an activation checkpoint is being recorded, in which a backward pass would run all of it once more."""
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    if top is None:  # before PyTorch 2.8 nobody can tell
        return True
    hooks = top(False)
    return hooks is not None and getattr(hooks[0], "__module__", "") == "torch.utils.checkpoint"


def outside_checkpoints() -> AbstractContextManager[Any]:
    """Where a block lies in an activation checkpoint, what the library saves must not count as the block's own."""
    if torch.compiler.is_compiling() or not in_checkpoint():
        return nullcontext()
    return saved_tensors_hooks(_same, _same)


def _same(saved: Any) -> Any:
    return saved
