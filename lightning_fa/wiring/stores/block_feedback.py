"""Feedback of blocks. Its shape depends on the block's output, so it is drawn when that shape is first known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from lightning_fa.feedback import single_precision
from lightning_fa.rules.base import Rule
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.stores.rows import Layout, check_samples_first, lay_out
from lightning_fa.wiring.stores.store import Store


class Place(NamedTuple):
    """A block below the head."""

    module: nn.Module
    error: str
    """The table's words for the error that the block receives."""
    cut: bool = True
    """Whether the block's output is cut from the next block."""
    holds: Literal["one", "several", "nothing"] = "one"
    """One tensor, which has the block's name, or several tensors, named by letters."""
    reaches_below: bool = False
    """Whether the error that the feedback gives goes on to the blocks below."""


Sizes: TypeAlias = "tuple[int, ...]"
"""The numbers that shapes of feedback depend on: (width of the block's output, outputs of the network). For rules with
``maps`` the dimensions of the block's output, without the samples and channels first, stand in place of the width."""

Initial: TypeAlias = "Callable[[str, Sizes], Tensor | Mapping[str, Tensor]]"
"""Draws the feedback of a block: one tensor, or one tensor per letter."""


@dataclass
class Known:
    """What is known so far about the feedback of one block. Forward passes fill it in."""

    letters: tuple[str, ...] = ()
    """The letters of the tensors that exist, or that will exist."""
    sizes: Sizes | None = None
    """The sizes for which the feedback was drawn."""
    layout: Layout | None = None
    """How the block's output lined up with the network's output in the last forward pass."""
    shapes: tuple[torch.Size, torch.Size] | None = None
    """The shapes of these two outputs. The layout follows from them."""
    restored: bool = False
    """Whether a tensor of another shape than the drawn one was restored."""
    frozen: bool = False
    """Whether learned feedback was frozen because no block learned by it."""


class BlockFeedback:
    """The feedback of the blocks below the head.

    Args:
        store: Holds the tensors.
        rule: The rule.
        places: The blocks below the head by name, in the order of their calls.
        initial: Draws the feedback of one block.
    """

    def __init__(self, store: Store, rule: Rule, places: Mapping[str, Place], initial: Initial) -> None:
        self.store, self.rule, self.places, self.initial = store, rule, dict(places), initial
        self._known = {name: Known() for name in self.places}
        self._ready = False
        for name, place in self.places.items():
            if place.holds == "one":
                store.open(name, place.module)
                self._known[name].letters = ("",)

    def guess(self, blocks: Sequence[Block]) -> None:
        """Draw the feedback of blocks that a linear layer follows, if the head is linear, so that it can be read at once.

        Their likely shape follows from the two layers. The first forward pass draws again if the shape is another.
        """
        head = blocks[-1].module
        for block, following in pairwise(blocks):
            if self.cuts(block.name) and isinstance(following.module, nn.Linear) and isinstance(head, nn.Linear):
                sizes = following.module.in_features, head.out_features
                self._draw(block.name, sizes, following.module.weight, False)

    def cuts(self, name: str) -> bool:
        """Whether the output of block ``name`` is cut from the next block."""
        return name in self.places and self.places[name].cut

    def theta(self, name: str) -> dict[str, Tensor]:
        """The tensors that block ``name`` holds, by letter. A single tensor has the empty letter. The head holds none."""
        letters = self._known[name].letters if name in self._known else ()
        found = {letter: self.store.get(key_of(name, letter)) for letter in letters}
        return {letter: held for letter, held in found.items() if held is not None}

    def all(self) -> dict[str, Tensor]:
        """The tensors that all blocks hold, by the names shown to the user."""
        return {key_of(name, letter): held for name in self.places for letter, held in self.theta(name).items()}

    def layout(self, name: str) -> Layout | None:
        """How the output of block ``name`` lined up with the network's output in the last forward pass, if there was one."""
        return self._known[name].layout

    def fits(self, name: str, h: Tensor, layout: Layout) -> bool:
        """Whether the feedback drawn for block ``name`` fits the output ``h`` under ``layout``."""
        return layout.fits(h) and _serves(self._known[name].sizes, self._sizes(h.shape, layout))

    def fit(self, name: str, tap: Tensor, output: Tensor, rehearsing: bool) -> Layout:
        """How the output of block ``name`` lines up with the network's output. Feedback is drawn unless it fits already."""
        known, shapes = self._known[name], (tap.shape, output.shape)
        compiling = torch.compiler.is_compiling()
        if not compiling and known.layout is not None and known.shapes == shapes:
            return known.layout
        shared = getattr(self.rule, "maps", False) or getattr(self.rule, "spatial", "dense") == "shared"
        layout = lay_out(name, tap, output, self.places[name].module, shared)
        if self.cuts(name):
            if not compiling and known.layout is None:
                check_samples_first(name, tap, layout, self.places[name].module)
            sizes = self._sizes(tap.shape, layout)
            if not _serves(known.sizes, sizes):
                self._draw(name, sizes, tap, rehearsing)
            if not compiling:
                known.layout, known.shapes = layout, shapes
        return layout

    def restore(self, name: str, saved: Tensor) -> None:
        """Restore a saved tensor; see :meth:`Store.restore`.

        Raises:
            ValueError: its shape is not that which the network needs, here or, if that is not known yet, in the first pass.
        """
        block, _, letter = name.rpartition(".")
        if name in self.places:
            known, guessed = self._known[name], self.store.get(name) if name in self.store.slots else None
            self.store.open(name, self.places[name].module)
            known.letters = known.letters or ("",)
            if guessed is not None and guessed.shape != saved.shape and known.layout is None and not self.rule.learned:
                known.sizes, known.restored = None, True  # so that the first pass compares the shapes
                self.store.put(name, saved.to(guessed.device))
        elif block in self.places and name not in self.store.slots:
            self.store.open(name, self.places[block].module, f"{FEEDBACK}_{letter}")
            self._known[block].letters += (letter,)
        self.store.restore(name, saved)

    def check_ready(self) -> None:
        """Check that learned feedback exists before an optimizer is built.

        Raises:
            ValueError: the learned feedback of a block does not exist.
        """
        unknown = [name for name in self.places if self.cuts(name) and not self.theta(name)]
        if self.rule.learned and unknown:
            raise ValueError(
                f"{type(self.rule).__name__} learns its feedback, which must exist before the optimizer is built, but the "
                f"width of {', '.join(unknown)} is not known. Pass `example=`, an input of the model, to `attach` (a "
                "LightningModule: set `example_input_array`)."
            )
        self._ready = True

    def shapes(self, name: str) -> str:
        """The shapes of the feedback of block ``name``, for the table."""
        unknown = "?" if self.cuts(name) and self._known[name].sizes is None else "-"
        return shapes_of(self.theta(name)) or unknown

    def thaw(self) -> None:
        """Let feedback learn again that was frozen with its block, if the block learns now."""
        for name, known in self._known.items():
            if known.frozen and self._serves_any(name):
                known.frozen = False
                for held in self.theta(name).values():
                    if isinstance(held, nn.Parameter):
                        held.requires_grad_(True)

    def _serves_any(self, name: str) -> bool:
        return any(p.requires_grad for module in self._served(name) for p in module.parameters())

    def _served(self, name: str) -> Iterator[nn.Module]:
        yield self.places[name].module
        if self.places[name].reaches_below:
            yield from (place.module for place in takewhile(lambda p: p is not self.places[name], self.places.values()))

    def _sizes(self, shape: torch.Size, layout: Layout) -> Sizes:
        if getattr(self.rule, "maps", False) and not layout.per_position:
            sample = list(shape[layout.leading :])
            if layout.channels is not None:
                sample.insert(0, sample.pop(layout.channels - layout.leading))
            return *sample, layout.outputs
        return layout.width, layout.outputs

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _draw(self, name: str, sizes: Sizes, like: Tensor, rehearsing: bool) -> None:
        held, known = self.theta(name), self._known[name]
        if known.layout is not None and rehearsing:
            raise ValueError(
                f"The calls of block {name!r} need feedback of two sizes, {known.sizes} and {sizes}: (width of the output, "
                "outputs of the network). All calls of a block share one B. Call the block with inputs of one size, or name a "
                "module that contains all its calls in `blocks=[...]`, or name the block in `ungoverned=`, so that it learns "
                "with the block above."
            )
        if known.layout is not None:
            raise ValueError(
                f"The output of block {name!r} needs feedback for {sizes}, after {known.sizes}: (width of the output, "
                "outputs of the network). Use inputs of one size, or, if the rule has it, `spatial='shared'`, under which "
                "feedback depends on the number of channels alone."
            )
        with single_precision():
            initial = self.initial(name, sizes) if self.places[name].holds != "nothing" else {}
        drawn = {"": initial} if isinstance(initial, Tensor) else dict(initial)
        fits = {k: t.shape for k, t in drawn.items()} == {k: t.shape for k, t in held.items()}
        if held and not fits and (known.restored or any(t._version for t in held.values())):
            raise ValueError(
                f"The feedback of {name!r} was set with shape {shapes_of(held)}, but its block's output needs {sizes}: (width of "
                "the output, outputs of the network)."
            )
        if self.rule.learned and not rehearsing and not fits and self._ready:
            raise ValueError(
                f"The output of block {name!r} needs feedback of shape {shapes_of(drawn)}. Its shape was guessed as "
                f"{shapes_of(held)}, and an optimizer may hold it already. Pass `example=`, an input of the model, to `attach`."
            )
        known.sizes = sizes
        if not fits:
            self._keep(name, drawn, like)

    def _keep(self, name: str, drawn: Mapping[str, Tensor], like: Tensor) -> None:
        module = self.places[name].module
        # Feedback has at least 32 bits, because half precision loses small errors in the projection.
        dtype = torch.promote_types(like.dtype, torch.float32)
        frozen = self.rule.learned and not self._serves_any(name)
        self._known[name].letters, self._known[name].frozen = tuple(drawn), frozen
        before = len(self.store.slots)
        for letter, tensor in drawn.items():
            key = key_of(name, letter)
            self.store.open(key, module, f"{FEEDBACK}_{letter}" if letter else FEEDBACK)
            real = tensor.is_floating_point()
            self.store.put(key, tensor.to(like.device, dtype if real else None), self.rule.learned and real)
            held = self.store.get(key)
            if frozen and held is not None:
                held.requires_grad_(False)
        if len(self.store.slots) > before:
            order = {id(place.module): i for i, place in enumerate(self.places.values())}
            self.store.slots = dict(sorted(self.store.slots.items(), key=lambda item: order[id(item[1].module)]))


def _serves(drawn: Sizes | None, sizes: Sizes) -> bool:
    # (channels, length, outputs) are a sequence under a rule with `maps`, whose feedback serves every length.
    return drawn == sizes or (drawn is not None and len(drawn) == len(sizes) == 3 and drawn[::2] == sizes[::2])


def key_of(name: str, letter: str) -> str:
    """The name shown to the user for the tensor ``letter`` of block ``name``."""
    return f"{name}.{letter}" if letter else name


def shapes_of(tensors: Mapping[str, Tensor]) -> str:
    """The shapes of ``tensors``, for messages and the table."""
    return ", ".join(f"{letter}{list(t.shape)}" for letter, t in tensors.items())
