"""Direct and local rules in a model: the graph is cut where one block's output enters the next block.

The cut is made at the next block's *input* (pooling, normalisation and activations between two blocks belong to the first)
and never with ``requires_grad``: autograd then computes no error that crosses a block, which is what these rules save.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from lightning_fa.ops import join, route
from lightning_fa.rules.base import DirectRule, LocalRule
from lightning_fa.surgery import Behaviour, adopt
from lightning_fa.wiring.base import Row, Wiring
from lightning_fa.wiring.blocks import Block, weights_of
from lightning_fa.wiring.graph import check_cut
from lightning_fa.wiring.rows import Layout, lay_out, match_targets


class Bounded(Behaviour):
    """A block whose input is cut from the block below, and, for the last one, whose output is routed."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        wiring, index = self._feedback_port
        args, kwargs = wiring.enter(index, args, kwargs)
        out = super().forward(*args, **kwargs)  # type: ignore[misc]
        if index < len(wiring.blocks) - 1:
            return out
        with _outside_checkpoints():
            return wiring.leave(out)


@dataclass(frozen=True)
class Delivery:
    """What the router asks in backward: the rule's answer, in the shape and dtype of each block's output."""

    rule: DirectRule
    layouts: list[Layout]
    shapes: list[torch.Size]
    dtypes: list[torch.dtype]

    def error(self, index: int, e: Tensor, factor: Tensor | None, feedback: Tensor) -> Tensor:
        rows = self.layouts[index].rows(e).to(feedback.dtype)
        if self.rule.linear:
            d = self.rule.deliver(rows, feedback)
        else:
            assert factor is not None
            d = self.rule.deliver(rows / factor, feedback) * factor
        return d.to(self.dtypes[index]).reshape(self.shapes[index])

    def lesson(self, index: int, e: Tensor, factor: Tensor | None, feedback: Tensor, h: Tensor) -> Tensor:
        layout = self.layouts[index]
        return self.rule.lesson(layout.rows(e).to(feedback.dtype), layout.rows(h).to(feedback.dtype), feedback)


class DirectWiring(Wiring):
    """Cuts between ``blocks`` and delivers what the rule answers.

    Args:
        rule: A direct or a local rule.
        blocks: In the order in which the network calls them; the last is the head.
    """

    def __init__(self, rule: DirectRule | LocalRule, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.rule = rule
        self.blocks = list(blocks)
        self._taps: list[Tensor] = []
        self._terms: list[Tensor] = []
        self._checked = False
        self.holders = {block.name: block.module for block in self.blocks[:-1]}
        head = self.blocks[-1].module
        for block, following in zip(self.blocks, self.blocks[1:]):
            if isinstance(following.module, nn.Linear) and isinstance(head, nn.Linear):
                # The likely shape, so that feedback can be read at once; the first forward pass has the last word.
                self._draw(block.name, following.module.in_features, head.out_features, following.module.weight)
        for index, block in enumerate(self.blocks):
            adopt(block.module, Bounded, (self, index))
            self.adopted.append(block.module)

    # -- one forward pass: enter, enter, ..., leave -----------------------------------------------------------------------

    def enter(
        self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Record the first tensor among a block's inputs as the output of the block below, and hand on its value."""
        if index == 0:
            self._start()
            return args, kwargs
        inputs: dict[int | str, Any] = dict(enumerate(args)) | kwargs  # type: ignore[operator]
        key = next((k for k, value in inputs.items() if isinstance(value, Tensor)), None)
        if key is None:
            raise TypeError(f"Block {self.blocks[index].name!r} was called without a tensor to cut the graph at.")
        if not _recomputing():
            if len(self._taps) != index - 1:
                raise self._disorder(index)
            self._taps.append(inputs[key])
        inputs[key] = inputs[key].detach()
        return tuple(inputs[i] for i in range(len(args))), {k: inputs[k] for k in kwargs}

    def leave(self, output: Any) -> Any:
        """Route the head's output, the last step of the forward pass."""
        head = self.blocks[-1].name
        if not isinstance(output, Tensor):
            raise TypeError(f"The head {head!r} returned a {type(output).__name__}, expected one tensor (the logits).")
        if _recomputing():
            return output
        if len(self._taps) != len(self.holders):
            raise self._disorder(len(self.blocks) - 1)
        taps, self._taps = self._taps, []
        if not self._checked and not torch.compiler.is_compiling():
            check_cut(self.blocks, [*taps, output])
            self._checked = True
        layouts = [self._fit(name, tap, output) for name, tap in zip(self.holders, taps)]
        if self.rehearsing:
            return output
        if isinstance(self.rule, LocalRule):
            routed, unit = route(output, None, [], [], joined=True)
            self._terms += [unit, *self._local_losses(taps, layouts)]
            return routed
        delivery = Delivery(self.rule, layouts, [t.shape for t in taps], [t.dtype for t in taps])
        feedback = [held for _, held in self.feedback()]
        routed, unit = route(output, delivery, taps, feedback, joined=not self.rule.linear)
        if not self.rule.linear:
            self._terms.append(unit)
        return routed

    def join(self, loss: Tensor) -> Tensor:
        if not self._terms:
            return loss
        terms, self._terms = self._terms, []
        return join(loss, terms)

    def check_ready(self) -> None:
        unknown = [name for name in self.holders if self.held(name) is None]
        if self.rule.learned and unknown:
            raise ValueError(
                f"{type(self.rule).__name__} learns its feedback, which must exist before the optimizer does, and the width "
                f"of {', '.join(unknown)} is not known. Pass `example=`, an input of the model, to `attach` (a "
                "LightningModule: set `example_input_array`)."
            )

    # -- parts ----------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._taps and not self._checked:
            self._taps = []
            raise RuntimeError(
                f"A forward pass ended without calling the head {self.blocks[-1].name!r}, so that no block received an "
                "error. Name the modules that `forward` calls, the one that returns the logits last, in `blocks`."
            )
        self._taps = []

    def _disorder(self, index: int) -> RuntimeError:
        called, expected = self.blocks[index].name, self.blocks[min(len(self._taps) + 1, len(self.blocks) - 1)].name
        self._taps = []
        return RuntimeError(
            f"Block {called!r} was called where {expected!r} was expected: a block is called twice in one forward pass, "
            "left out, or the blocks are not called in the order of registration. Name blocks that are called once each, "
            "in order, with `blocks=` (a module that is used several times belongs inside one block)."
        )

    def _local_losses(self, taps: list[Tensor], layouts: list[Layout]) -> list[Tensor]:
        assert isinstance(self.rule, LocalRule)
        losses = []
        for (_, feedback), tap, layout in zip(self.feedback(), taps, layouts):
            if tap.requires_grad:
                h = layout.rows(tap).to(feedback.dtype)
                with torch.autocast(tap.device.type, enabled=False):
                    losses.append(self.rule.local_loss(h, match_targets(self.targets, len(h)), feedback))
        return losses

    def _fit(self, name: str, tap: Tensor, output: Tensor) -> Layout:
        layout = lay_out(name, tap, output)
        held = self.held(name)
        if held is None or held.shape != (layout.width, layout.outputs):
            self._draw(name, layout.width, layout.outputs, tap)
        return layout

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _draw(self, name: str, width: int, outputs: int, like: Tensor) -> None:
        held = self.held(name)
        if held is not None and held._version:
            raise ValueError(
                f"The feedback of {name!r} was set with shape {tuple(held.shape)}, but its block's output takes "
                f"{(width, outputs)}: (width of the output, outputs of the network)."
            )
        feedback = self.rule.initial(name, width, outputs)
        assert feedback is not None
        # Half precision loses small errors in the projection: feedback is kept in 32 bits at least.
        feedback = feedback.to(like.device, torch.promote_types(like.dtype, torch.float32))
        self.hold(name, feedback, self.rule.learned)

    def table(self) -> list[Row]:
        held = dict(self.feedback())
        local = isinstance(self.rule, LocalRule)
        rows = []
        for block in self.blocks:
            module = block.module
            weights = [f"{n}.{w}".lstrip(".") for n, m in module.named_modules() for w in weights_of(m)]
            below = block.name in self.holders
            error = ("own loss" if local else "deliver(e)") if below else "e, the true error"
            shape = str(list(held[block.name].shape)) if block.name in held else ("?" if below else "-")
            rows.append(Row(block.name, type(module).__name__, ", ".join(weights), error, shape))
        return rows


def _outside_checkpoints() -> AbstractContextManager[Any]:
    # Where the head lies in an activation checkpoint, what the router saves must not count as the head's own.
    if torch.compiler.is_compiling():
        return nullcontext()
    return saved_tensors_hooks(_same, _same)


def _same(saved: Any) -> Any:
    return saved


def _recomputing() -> bool:
    # Non-reentrant activation checkpointing runs a block's forward again inside backward: cut there, but record nothing.
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1
