"""The proof that no true gradient passes between blocks: made in a dry run or in the first forward pass.

A dry run is in evaluation mode. The first pass in training mode is therefore checked as well. Autograd keeps no graph of frozen
parameters. The first pass after a frozen parameter began to learn is therefore checked too.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lightning_fa.sharding import is_sharded
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.graph import EXAMPLE, TRAINING, LeakError, check_cut, check_output, leaves_of
from lightning_fa.wiring.passes.course import Tap
from lightning_fa.wiring.stores.block_feedback import BlockFeedback
from lightning_fa.wiring.tensors import tensors_in

SEE = (
    "Pass `example=`, an input of the model, to `attach` (a LightningModule: set `example_input_array`), which shows where each "
    "block ends"
)


Owned: TypeAlias = Mapping[str, Sequence[Tensor]]
"""Block -> the parameters that its error governs."""


class Isolation:
    """Checks that no true gradient passes from block to block.

    Args:
        blocks: In the order in which the network calls them; the last is the head.
        feedback: Says which blocks are cut from the next block.
    """

    def __init__(self, blocks: Sequence[Block], feedback: BlockFeedback) -> None:
        self.blocks, self.feedback = list(blocks), feedback
        self.proven = False
        """Whether a pass was checked."""
        self.frozen: list[tuple[nn.Module, str]] | None = None
        """The parameters, each by its module and its name there, that learned in no pass that was checked; ``None`` if a pass in
        training mode is still to be checked."""
        self._owned: dict[
            str, list[weakref.ref[Tensor]]
        ] = {}  # FSDP2 replaces parameters, and must be able to free them
        self._barriers: list[Any] = []
        self._beside: list[tuple[str, Tensor]] = []
        self._cuts: list[tuple[str, Tensor]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_owned": self.owned}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _owned={})
        self._add(state["_owned"])

    @property
    def owned(self) -> dict[str, list[Tensor]]:
        """:data:`Owned`, as the graph of the first forward pass shows.

        Empty before this pass, and if a parameter has been replaced since.
        """
        found = {name: [ref() for ref in refs] for name, refs in self._owned.items()}
        return {} if any(p is None for each in found.values() for p in each) else found  # type: ignore[return-value]

    def due(self) -> bool:
        """Whether the pass is to be checked because it is the first, or the first in training mode."""
        if torch.compiler.is_compiling() or self.frozen is not None:
            return False
        return not self.proven or self._training()

    def bar(self, out: Tensor) -> None:
        """Declare that the node of ``out`` decides which error passes below it, so that the check stops there."""
        if torch.compiler.is_compiling():
            # The blocks around this one may not be compiled, and their check could not see this node.
            self.frozen = []
        elif self.due():
            self._barriers.append(out.grad_fn)

    def look_again(self) -> None:
        """Have the pass that begins checked, and feedback learn again, if a frozen parameter learns now."""
        learning = (module._parameters.get(key) for module, key in self.frozen or ())
        if any(p is not None and p.requires_grad for p in learning):
            self.frozen = None
            self.feedback.thaw()

    def beside(self, name: str, tensors: Sequence[Tensor]) -> None:
        """Record the ``tensors`` that block ``name`` returned besides its first tensor, in a dry run."""
        self._beside += [(name, tensor) for tensor in tensors]

    def check(self, taps: Sequence[Tap], output: Tensor, rehearsing: bool) -> None:
        """Check a forward pass, given the outputs of the blocks below the head and of the head.

        Raises:
            LeakError: the graphs of two blocks meet.
            ValueError: parameters of a block would not learn.
            RuntimeError: a block would learn by the error of another block.
        """
        due, known = self.due(), self.proven and not rehearsing
        if torch.compiler.is_compiling() or not (due or rehearsing):
            return
        trains = not rehearsing and self._training()
        if known and self._sharded():
            self.frozen, self._barriers = self._find_frozen() if trains else self.frozen, []
            return
        head = self.blocks[-1].name
        cuts = [*((name, tap) for name, tap, _ in taps if self.feedback.cuts(name)), (head, output)]
        owned = check_cut(cuts, self._barriers, TRAINING if known else EXAMPLE)
        self._check_beside(owned)
        self._check_own(owned, rehearsing or known)
        if not self.proven:  # the stages of a pipeline rehearse once more, each without the blocks of the others
            self._check_reached(owned)
        if not known:
            self._owned = {}
        self._add(owned)
        self.frozen = self._find_frozen() if trains else self.frozen
        self.proven, self._barriers = True, []
        self._cuts = cuts if rehearsing else []

    def check_leaves(self, name: str, leaves: Sequence[Tensor]) -> None:
        """As :meth:`check`, for block ``name``, whose gradients are computed in the forward pass.

        Args:
            name: The block.
            leaves: What the gradients are of.

        Raises:
            LeakError: a parameter of another block is among them.
        """
        if not self.due():
            return
        # Last its own, because two blocks may share a parameter. The leaves may hold the predictor of the block below.
        blocks = sorted(self.blocks, key=lambda block: block.name == name)
        inside = {b.name: [p for n, p in b.module.named_parameters() if FEEDBACK not in n] for b in blocks}
        owner = {id(p): other for other, its in inside.items() for p in (*self.owned.get(other, ()), *its)}
        for leaf in leaves:
            if owner.get(id(leaf), name) != name:
                raise LeakError(f"block {name!r}", owner[id(leaf)], TRAINING)
        self._add({name: [leaf for leaf in leaves if id(leaf) in owner]})

    def check_output(self, output: Any, ungoverned: Collection[Tensor]) -> Any:
        """Check what the model returned in a dry run. Returns the autograd node of the head's output, if it has one.

        Raises:
            LeakError: the output, or that of an excluded head, depends on a block below the head by a path past the head.
        """
        cuts, self._cuts = self._cuts, []
        if not cuts:
            return None
        check_output(tensors_in(output), cuts, ungoverned)
        return cuts[-1][1].grad_fn

    def _add(self, owned: Owned) -> None:
        for name, found in owned.items():
            known = {id(ref()) for ref in self._owned.setdefault(name, [])}
            self._owned[name] += [weakref.ref(p) for p in found if id(p) not in known]

    def _find_frozen(self) -> list[tuple[nn.Module, str]]:
        # Those that learn in turns (`toggle_optimizer`) are not among them, or every step would be checked.
        seen = {id(p) for each in self.owned.values() for p in each}
        return [
            (module, key)
            for block in self.blocks
            for module in block.module.modules()
            for key, p in module._parameters.items()
            if p is not None and not p.requires_grad and id(p) not in seen
        ]

    def _training(self) -> bool:
        return any(block.module.training for block in self.blocks)

    def _sharded(self) -> bool:
        # FSDP makes the parameters of all blocks from one tensor, so that the graphs of all blocks meet there.
        parameters = [p for each in self.owned.values() for p in each]
        return not parameters or any(map(is_sharded, parameters))

    def _check_beside(self, owned: Owned) -> None:
        beside, self._beside = self._beside, []
        modules = {block.name: block.module for block in self.blocks}
        for name, tensor in beside:
            learning = {id(p) for p in owned.get(name, ())}
            met = {id(p) for p in leaves_of(tensor, [])}
            lost = [n for n, p in modules[name].named_parameters() if id(p) in met - learning]
            if lost:
                raise ValueError(
                    f"Block {name!r} returns several tensors. Only the first receives the error, so that nothing would train "
                    f"{', '.join(lost)}, on which only the other tensors depend. Name in `blocks=[...]` a module around the "
                    "block that returns one tensor."
                )

    def _check_reached(self, owned: Owned) -> None:
        for block, following in pairwise(self.blocks):
            if not self.feedback.cuts(block.name):
                continue
            own = [p for n, p in block.module.named_parameters() if p.requires_grad and FEEDBACK not in n]
            reached = owned.get(block.name, ())
            # In the graph other tensors may stand for sharded parameters, and for those of `functional_call`.
            known = all(p.is_leaf and not is_sharded(p) for p in (*own, *reached))
            lost = not reached or (known and {id(p) for p in own}.isdisjoint(map(id, reached)))
            if own and lost:
                raise ValueError(
                    f"No error would reach block {block.name!r}: its output does not enter {following.name!r}, the block after "
                    f"it, or enters it without a graph. {SEE}. Does {block.name!r} belong to another network? Then attach a rule "
                    "to each network (`attach(model.part, ...)`), or name the other network in `ungoverned=`. If the block is "
                    "not to learn, name it in `ungoverned=`."
                )

    def _check_own(self, owned: Owned, rehearsing: bool) -> None:
        advice = "Name" if rehearsing else f"{SEE}. Or name"
        own = {block.name: {id(p) for p in block.module.parameters()} for block in self.blocks}
        taken: dict[int, list[Block]] = {}
        for other in self.blocks:
            for p in owned.get(other.name, ()):
                if id(p) not in own[other.name]:
                    taken.setdefault(id(p), []).append(other)
        for block in self.blocks:
            if block is not self.blocks[-1] and not self.feedback.cuts(block.name):
                continue  # not cut: it learns by the error of the block above on purpose
            left = own[block.name] - {id(p) for p in owned.get(block.name, ())}
            for other in (other for p in left for other in taken.get(p, ())):
                if other is not block:
                    raise RuntimeError(
                        f"The error of block {other.name!r} would train block {block.name!r}, whose output does not enter the "
                        f"block after it: the two blocks are on parallel paths, or block {other.name!r} takes another tensor "
                        f"from {block.name!r} than its output, such as the state of an LSTM. {advice} {block.name!r} in "
                        f"`ungoverned=`: then it learns with block {other.name!r}, by backpropagation between the two."
                    )
