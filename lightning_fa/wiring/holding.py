"""What blocks hold: feedback whose shape their output decides, drawn as soon as it is known, one tensor or one per letter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lightning_fa.rules.base import Rule
from lightning_fa.surgery import FEEDBACK
from lightning_fa.wiring.base import Wiring
from lightning_fa.wiring.blocks import Block, channels_of
from lightning_fa.wiring.rows import Layout, lay_out


class HoldingWiring(Wiring):
    """Abstract. Gives each block below the head what its family says.

    Args:
        rule: The rule.
        blocks: In the order in which the network calls them; the last is the head.
    """

    def __init__(self, rule: Rule, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.rule = rule
        self.blocks = list(blocks)
        self.below = [block.name for block in self.blocks[:-1]]
        self.modules = {block.name: block.module for block in self.blocks}
        self.layouts: dict[str, Layout] = {}
        """Block -> how its output lines up with the network's, from the first forward pass on."""
        self._letters: dict[str, tuple[str, ...]] = {}
        self._drawn: dict[str, tuple[int, ...]] = {}
        self._ready = False
        for name in self.below:
            if self.holds_one(name):
                self.holders[name], self._letters[name] = self.modules[name], ("",)
        head = self.blocks[-1].module
        for block, following in zip(self.blocks, self.blocks[1:]):
            if self.feeds(block.name) and isinstance(following.module, nn.Linear) and isinstance(head, nn.Linear):
                # The likely shape, so that feedback can be read at once; the first forward pass has the last word.
                with self.undone_on_error():
                    width = following.module.in_features
                    layout = Layout(width, head.out_features, False)
                    self._draw(block.name, torch.Size((1, width)), layout, following.module.weight)

    # -- what a family says -----------------------------------------------------------------------------------------------

    @abstractmethod
    def initial(self, name: str, shape: torch.Size, layout: Layout) -> Tensor | Mapping[str, Tensor]:
        """What block ``name`` holds, one tensor or one per letter. ``shape``: of h, samples first."""

    def feeds(self, name: str) -> bool:
        """Whether the output of block ``name`` is cut and holds feedback."""
        return True

    def holds_one(self, name: str) -> bool:
        """Whether block ``name`` holds one tensor, and no letters."""
        return self.feeds(name)

    def fit_key(self, shape: torch.Size, layout: Layout) -> tuple[int, ...]:
        """What the shapes of :meth:`initial` depend on."""
        return layout.width, layout.outputs

    # -- from shapes to feedback --------------------------------------------------------------------------------------------

    def theta(self, name: str) -> dict[str, Tensor]:
        """What block ``name`` holds, by letter; a lone tensor has the empty one."""
        found = {letter: self.held(key_of(name, letter)) for letter in self._letters.get(name, ())}
        return {letter: held for letter, held in found.items() if held is not None}

    def fit(self, name: str, tap: Tensor, output: Tensor) -> Layout:
        """How the output of block ``name`` lines up with the network's; its feedback is drawn unless it fits already."""
        shared = getattr(self.rule, "spatial", "dense") == "shared"
        layout = lay_out(name, tap, output, channels_of(self.modules[name], tap) if shared else None)
        if self.feeds(name):
            if self._drawn.get(name) != self.fit_key(tap.shape, layout):
                self._draw(name, tap.shape, layout, tap)
            if not torch.compiler.is_compiling():
                self.layouts[name] = layout
        return layout

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _draw(self, name: str, shape: torch.Size, layout: Layout, like: Tensor) -> None:
        key, held = self.fit_key(shape, layout), self.theta(name)
        if name in self.layouts and self.rehearsing:
            raise ValueError(
                f"The calls of block {name!r} take feedback of two sizes, {self._drawn[name]} and {key}: (width of the output, "
                "outputs of the network). One B serves all calls of a block. Call it with inputs of one size, or name a module "
                "in `blocks=[...]` that contains all its calls, or leave it to the block above with `ungoverned=`."
            )
        if name in self.layouts:
            raise ValueError(
                f"The output of block {name!r} takes feedback for {key}, after {self._drawn[name]}: (width of the output, "
                "outputs of the network). Feed inputs of one size, or use `spatial='shared'` where the rule has it, which "
                "depends on the number of channels alone."
            )
        initial = self.initial(name, shape, layout)
        drawn = {"": initial} if isinstance(initial, Tensor) else dict(initial)
        fits = {k: t.shape for k, t in drawn.items()} == {k: t.shape for k, t in held.items()}
        if held and not fits and any(t._version for t in held.values()):
            raise ValueError(
                f"The feedback of {name!r} was set with shape {shapes_of(held)}, but its block's output takes {key}: (width of "
                "the output, outputs of the network)."
            )
        if self.rule.learned and not self.rehearsing and not fits and self._ready:
            raise ValueError(
                f"The output of block {name!r} takes feedback of shape {shapes_of(drawn)}, but it was guessed as "
                f"{shapes_of(held)}, and an optimizer may know it already. Pass `example=`, an input of the model, to `attach`."
            )
        self._drawn[name] = key
        if not fits:
            self._keep(name, drawn, like)

    def _keep(self, name: str, drawn: Mapping[str, Tensor], like: Tensor) -> None:
        # Half precision loses small errors in the projection: feedback is kept in 32 bits at least.
        dtype = torch.promote_types(like.dtype, torch.float32)
        frozen = self.rule.learned and not any(p.requires_grad for p in self.modules[name].parameters())
        self._letters[name] = tuple(drawn)
        for letter, tensor in drawn.items():
            key = key_of(name, letter)
            self.holders[key] = self.modules[name]
            if letter:
                self.slots[key] = f"{FEEDBACK}_{letter}"
            real = tensor.is_floating_point()
            self.hold(key, tensor.to(like.device, dtype if real else None), self.rule.learned and real)
            held = self.held(key)
            if frozen and held is not None:
                held.requires_grad_(False)  # as the block that holds it
        order = {id(module): i for i, module in enumerate(self.modules.values())}
        self.holders = dict(sorted(self.holders.items(), key=lambda item: order[id(item[1])]))

    def restore(self, name: str, saved: Tensor) -> None:
        block, _, letter = name.rpartition(".")
        if name not in self.modules and block in self.modules and name not in self.holders:
            self.holders[name] = self.modules[block]
            self.slots[name] = f"{FEEDBACK}_{letter}"
            self._letters[block] = (*self._letters.get(block, ()), letter)
        elif name in self.below:
            self.holders[name] = self.modules[name]
            self._letters.setdefault(name, ("",))
        super().restore(name, saved)

    def check_ready(self) -> None:
        unknown = [name for name in self.below if self.feeds(name) and not self.theta(name)]
        if self.rule.learned and unknown:
            raise ValueError(
                f"{type(self.rule).__name__} learns its feedback, which must exist before the optimizer does, and the width "
                f"of {', '.join(unknown)} is not known. Pass `example=`, an input of the model, to `attach` (a "
                "LightningModule: set `example_input_array`)."
            )
        self._ready = True


def key_of(name: str, letter: str) -> str:
    """Under which name the tensor ``letter`` of block ``name`` is known to the user."""
    return f"{name}.{letter}" if letter else name


def shapes_of(tensors: Mapping[str, Tensor]) -> str:
    """For messages and the table."""
    return ", ".join(f"{letter}{list(t.shape)}" for letter, t in tensors.items())
