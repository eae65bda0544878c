"""Feedback of blocks. Its shape depends on the block's output, so that it is drawn when that shape is first known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from lightning_fa.feedback import single_precision
from lightning_fa.rules.base import Rule
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.blocks import Block, channels_of
from lightning_fa.wiring.rows import Layout, lay_out
from lightning_fa.wiring.store import Store


class Place(NamedTuple):
    """A block below the head."""

    module: nn.Module
    error: str
    """What the table calls the error that the block receives."""
    cut: bool = True
    """Whether its output is cut from what follows."""
    holds: Literal["one", "several", "nothing"] = "one"
    """One tensor, which has the block's name; or several, named by letters."""


Sizes: TypeAlias = "tuple[int, ...]"
"""What the shapes of feedback depend on: (width of the block's output, outputs of the network), or its whole shape for one."""

Initial: TypeAlias = "Callable[[str, Sizes], Tensor | Mapping[str, Tensor]]"
"""What a block holds: one tensor, or one per letter."""


class BlockFeedback:
    """What the blocks below the head hold.

    Args:
        store: Where.
        rule: The rule.
        places: The blocks below the head by name, in the order of their calls.
        initial: Draws for one block.
    """

    def __init__(self, store: Store, rule: Rule, places: Mapping[str, Place], initial: Initial) -> None:
        self.store, self.rule, self.places, self.initial = store, rule, dict(places), initial
        self.layouts: dict[str, Layout] = {}
        """Block -> how its output lines up with the network's, from the first forward pass on."""
        self._letters: dict[str, tuple[str, ...]] = {}
        self._drawn: dict[str, Sizes] = {}
        self._ready = False
        for name, place in self.places.items():
            if place.holds == "one":
                store.open(name, place.module)
                self._letters[name] = ("",)

    def guess(self, blocks: Sequence[Block]) -> None:
        """Draw where two linear layers tell the likely shape, so that feedback can be read at once.

        The first forward pass has the last word.
        """
        head = blocks[-1].module
        for block, following in pairwise(blocks):
            if self.cuts(block.name) and isinstance(following.module, nn.Linear) and isinstance(head, nn.Linear):
                sizes = following.module.in_features, head.out_features
                self._draw(block.name, sizes, following.module.weight, False)

    def cuts(self, name: str) -> bool:
        """Whether the output of block ``name`` is cut from what follows."""
        return name in self.places and self.places[name].cut

    def theta(self, name: str) -> dict[str, Tensor]:
        """What block ``name`` holds, by letter; a lone tensor has the empty one."""
        found = {letter: self.store.get(key_of(name, letter)) for letter in self._letters.get(name, ())}
        return {letter: held for letter, held in found.items() if held is not None}

    def all(self) -> dict[str, Tensor]:
        """What all blocks hold, by the names that the user knows."""
        return {key_of(name, letter): held for name in self.places for letter, held in self.theta(name).items()}

    def fits(self, name: str, h: Tensor, layout: Layout) -> bool:
        """Whether feedback for the output ``h`` of block ``name``, which lines up as ``layout``, is there."""
        return layout.fits(h) and self._drawn.get(name) == self._sizes(h.shape, layout)

    def fit(self, name: str, tap: Tensor, output: Tensor, rehearsing: bool) -> Layout:
        """How the output of block ``name`` lines up with the network's; its feedback is drawn unless it fits already."""
        shared = getattr(self.rule, "spatial", "dense") == "shared"
        layout = lay_out(name, tap, output, channels_of(self.places[name].module, tap) if shared else None)
        if self.cuts(name):
            sizes = self._sizes(tap.shape, layout)
            if self._drawn.get(name) != sizes:
                self._draw(name, sizes, tap, rehearsing)
            if not torch.compiler.is_compiling():
                self.layouts[name] = layout
        return layout

    def restore(self, name: str, saved: Tensor) -> None:
        """Put a saved tensor back; see :meth:`Store.restore`."""
        block, _, letter = name.rpartition(".")
        if name in self.places:
            self.store.open(name, self.places[name].module)
            self._letters.setdefault(name, ("",))
        elif block in self.places and name not in self.store.slots:
            self.store.open(name, self.places[block].module, f"{FEEDBACK}_{letter}")
            self._letters[block] = (*self._letters.get(block, ()), letter)
        self.store.restore(name, saved)

    def check_ready(self) -> None:
        """Check that learned feedback exists before an optimizer does.

        Raises:
            ValueError: it does not.
        """
        unknown = [name for name in self.places if self.cuts(name) and not self.theta(name)]
        if self.rule.learned and unknown:
            raise ValueError(
                f"{type(self.rule).__name__} learns its feedback, which must exist before the optimizer does, and the width "
                f"of {', '.join(unknown)} is not known. Pass `example=`, an input of the model, to `attach` (a "
                "LightningModule: set `example_input_array`)."
            )
        self._ready = True

    def shapes(self, name: str) -> str:
        """For the table."""
        unknown = "?" if self.cuts(name) and name not in self._drawn else "-"
        return shapes_of(self.theta(name)) or unknown

    def _sizes(self, shape: torch.Size, layout: Layout) -> Sizes:
        if getattr(self.rule, "maps", False) and not layout.per_position:
            return *shape[1:], layout.outputs
        return layout.width, layout.outputs

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _draw(self, name: str, sizes: Sizes, like: Tensor, rehearsing: bool) -> None:
        held = self.theta(name)
        if name in self.layouts and rehearsing:
            raise ValueError(
                f"The calls of block {name!r} take feedback of two sizes, {self._drawn[name]} and {sizes}: (width of the output, "
                "outputs of the network). One B serves all calls of a block. Call it with inputs of one size, or name a module "
                "in `blocks=[...]` that contains all its calls, or leave it to the block above with `ungoverned=`."
            )
        if name in self.layouts:
            raise ValueError(
                f"The output of block {name!r} takes feedback for {sizes}, after {self._drawn[name]}: (width of the output, "
                "outputs of the network). Feed inputs of one size, or use `spatial='shared'` where the rule has it, which "
                "depends on the number of channels alone."
            )
        with single_precision():
            initial = self.initial(name, sizes) if self.places[name].holds != "nothing" else {}
        drawn = {"": initial} if isinstance(initial, Tensor) else dict(initial)
        fits = {k: t.shape for k, t in drawn.items()} == {k: t.shape for k, t in held.items()}
        if held and not fits and any(t._version for t in held.values()):
            raise ValueError(
                f"The feedback of {name!r} was set with shape {shapes_of(held)}, but its block's output takes {sizes}: (width of "
                "the output, outputs of the network)."
            )
        if self.rule.learned and not rehearsing and not fits and self._ready:
            raise ValueError(
                f"The output of block {name!r} takes feedback of shape {shapes_of(drawn)}, but it was guessed as "
                f"{shapes_of(held)}, and an optimizer may know it already. Pass `example=`, an input of the model, to `attach`."
            )
        self._drawn[name] = sizes
        if not fits:
            self._keep(name, drawn, like)

    def _keep(self, name: str, drawn: Mapping[str, Tensor], like: Tensor) -> None:
        module = self.places[name].module
        # Half precision loses small errors in the projection: feedback is kept in 32 bits at least.
        dtype = torch.promote_types(like.dtype, torch.float32)
        frozen = self.rule.learned and not any(p.requires_grad for p in module.parameters())
        self._letters[name] = tuple(drawn)
        known = len(self.store.slots)
        for letter, tensor in drawn.items():
            key = key_of(name, letter)
            self.store.open(key, module, f"{FEEDBACK}_{letter}" if letter else FEEDBACK)
            real = tensor.is_floating_point()
            self.store.put(key, tensor.to(like.device, dtype if real else None), self.rule.learned and real)
            held = self.store.get(key)
            if frozen and held is not None:
                held.requires_grad_(False)  # as the block that holds it
        if len(self.store.slots) > known:
            order = {id(place.module): i for i, place in enumerate(self.places.values())}
            self.store.slots = dict(sorted(self.store.slots.items(), key=lambda item: order[id(item[1].module)]))


def key_of(name: str, letter: str) -> str:
    """Under which name the tensor ``letter`` of block ``name`` is known to the user."""
    return f"{name}.{letter}" if letter else name


def shapes_of(tensors: Mapping[str, Tensor]) -> str:
    """For messages and the table."""
    return ", ".join(f"{letter}{list(t.shape)}" for letter, t in tensors.items())
