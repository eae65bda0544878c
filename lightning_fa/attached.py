"""A rule in a model: what its user can ask of it, and tell it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_fa.optimizers import forgotten, message
from lightning_fa.rules.base import Rule
from lightning_fa.sharding import whole
from lightning_fa.surgery import set_aside
from lightning_fa.table import Governance, count, drawn, summarised
from lightning_fa.wiring import Block, Wiring
from lightning_fa.wiring.base import Row

DDP_IGNORES = "_ddp_params_and_buffers_to_ignore"
"""By this attribute DDP is told what not to broadcast: fixed feedback is equal on all ranks by construction."""


class Attached:
    """A rule in a model. Made by :func:`attach`.

    Attributes:
        model: The model that the rule governs, without what wraps it (``torch.compile``, DDP, FSDP, Fabric).
        rule: The rule.
        blocks: In the order in which the network calls them; the last is the head.
    """

    def __init__(self, model: nn.Module, rule: Rule, wiring: Wiring, blocks: Sequence[Block]) -> None:
        self.model = model
        self.rule = rule
        self._wiring = wiring
        self.blocks = list(blocks)
        self._last: dict[str, Tensor] | None = None  # after `detach`, when another rule may have moved in
        self._shown: list[Row] = []
        self._ignored_before = vars(model).get(DDP_IGNORES)
        if not rule.learned:
            names = wiring.store.full_names(model)
            compiled = [f"_orig_mod.{name}" for name in names]  # what DDP sees of `torch.compile(model)`
            ignored = [*(self._ignored_before or ()), *names, *compiled]
            model.__dict__[DDP_IGNORES] = ignored

    @property
    def feedback(self) -> dict[str, Tensor]:
        """``{block or layer name: B}``, live: ``copy_`` into one, and the next backward uses it.

        Direct rules draw B^i of a block whose width is not known before, as after a convolution, in the first forward
        pass. After :meth:`detach` these are the last values.
        """
        # Counters, random streams and masks are held beside it; they are no real numbers.
        return {name: b for name, b in self._held().items() if b.is_floating_point()}

    def _held(self) -> dict[str, Tensor]:
        return dict(self._wiring.store.items()) if self._last is None else self._last

    @property
    def targets(self) -> Tensor | None:
        """The targets of the next forward passes, until :meth:`loss` uses them up; rules that need none ignore them.

        Integers are classes, floats are values. What your own loss masks away must be masked here as well, or it reaches the
        local losses: a class of -100 counts for nothing, as does a value that is NaN. For a graph of which only the training
        nodes may be seen, set ``y.masked_fill(~train_mask, -100)``, or give the strategy or the mixin
        ``targets=lambda batch: batch.y.masked_fill(~batch.train_mask, -100)``.
        """
        return self._wiring.step.targets

    @targets.setter
    def targets(self, targets: Tensor | None) -> None:
        self._wiring.step.targets = targets

    @property
    def needs_targets(self) -> bool:
        """Whether the rule reads :attr:`targets`."""
        return self.rule.needs_targets

    @property
    def needs_loss(self) -> bool:
        """Whether the loss must pass through :meth:`loss`."""
        return self.rule.needs_loss

    @property
    def checks_loss(self) -> bool:
        """Whether :meth:`loss` also proves, once, that no true weight carries an error, where the model's own output cannot."""
        return not (self.rule.cuts or self.rule.control)

    def loss(self, loss: Tensor) -> Tensor:
        """The loss, with the same value, whose backward also trains what has a loss of its own.

        Needed by rules with local losses or that are not linear in the error; for others it returns ``loss`` itself. Under
        these rules a factor before the call is lost to the blocks below the head, as is 1/N in ``attached.loss(loss / N)``: to
        accumulate gradients over N batches write ``(attached.loss(loss) / N).backward()``, which scales all of them. The
        Trainer does it in this order.

        It uses up :attr:`targets`, so that those of the last batch cannot train the next one: set them before every forward
        pass, inside a closure that an optimizer calls several times.

        Raises:
            ValueError: ``loss`` is not a scalar.
        """
        if loss.numel() != 1:
            raise ValueError(f"Expected argument `loss` to be a scalar, but got shape {tuple(loss.shape)}.")
        return self._wiring.join(loss)

    def forget(self) -> None:
        """Drop what forward passes have left for a :meth:`loss` that never came, as when an error was caught in between.

        The Lightning adapters do it at the beginning of every training step.
        """
        self._wiring.forget()

    # -- for measurements -------------------------------------------------------------------------------------------------

    @property
    def masks(self) -> dict[str, Tensor]:
        """``{layer: which entries of its weight exist}``, of rules that remove connections."""
        return {name.removesuffix(".mask"): b for name, b in self._held().items() if name.endswith(".mask")}

    def backward_weights(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """``(layer, the weight that carries the error in place of W, W)``, both in the shape of W; of transport rules."""
        return self._wiring.backward_weights(self.model)

    def predict(self, block: str, h: Tensor, targets: Tensor) -> Tensor | None:
        """The gradient of each sample's loss that the rule predicts at ``h``, the output of ``block``.

        ``None`` where it predicts nothing: under other rules than those with synthetic gradients, and where no predictor stands.
        """
        with torch.no_grad():
            return self._wiring.predict(block, h, targets)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside, the model is plain, and learns by backpropagation. Feedback stays, with its optimizer state."""
        targets = self.targets
        try:
            with set_aside(self._wiring.adopted):
                yield
        finally:
            self.targets = targets

    @contextmanager
    def graphs_kept(self) -> Iterator[None]:
        """Inside, no gradient is computed in the forward pass, so that the loss can be differentiated at hidden outputs."""
        step = self._wiring.step
        before, step.settles = step.settles, "never"
        try:
            yield
        finally:
            step.settles = before

    # -- the end, and checkpoints -------------------------------------------------------------------------------------------

    def detach(self) -> None:
        """Take the rule out of the model, which is bitwise as before; :attr:`feedback` can still be read."""
        if self._last is not None:
            return
        self._last, self._shown = {name: b.detach() for name, b in self._wiring.store.items()}, self._table()
        self._wiring.remove()
        self.model.__dict__.pop(DDP_IGNORES, None)
        if self._ignored_before is not None:
            self.model.__dict__[DDP_IGNORES] = self._ignored_before

    def config(self) -> dict[str, Any]:
        """Rule, settings and blocks as strings and numbers: what a checkpoint must agree with."""
        return {**self.rule.config(), "blocks": [block.name for block in self.blocks]}

    def state_dict(self) -> dict[str, Any]:
        """:meth:`config` and the feedback: all that is needed to continue exactly, in types that any loader accepts."""
        return {
            "config": self.config(),
            "feedback": {n: whole(b.detach()).cpu().clone() for n, b in self._held().items()},
        }

    def check_optimizers(self, optimizers: Iterable[Optimizer]) -> None:
        """Check that ``optimizers``, which are all there are, hold the learned feedback of the layers that they train.

        Raises:
            RuntimeError: they do not; the message names it. Without this call an optimizer's first step raises it.
        """
        store = self._wiring.store
        lost = forgotten(store, store.full_names(self.model), optimizers) if self.rule.learned else []
        if lost:
            raise RuntimeError(message(lost))

    def check(self, state: Mapping[str, Any]) -> None:
        """Check that what :meth:`state_dict` gave was made under this very rule.

        Raises:
            ValueError: it was made with another rule, seed, setting or choice of blocks; the message says which.
        """
        own, given = self.config(), dict(state["config"])
        differing = [
            f"{key}: checkpoint {given.get(key)!r}, here {own.get(key)!r}"
            for key in sorted(own.keys() | given.keys())
            if own.get(key) != given.get(key)
        ]
        if differing:
            raise ValueError(
                f"The checkpoint was made under another rule ({'; '.join(differing)}). Use the same one to continue, or load "
                "only the model's weights."
            )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave, after :meth:`check`."""
        self.check(state)
        with torch.no_grad():
            for name, saved in state["feedback"].items():
                self._wiring.restore(name, saved)

    # -- what is shown ------------------------------------------------------------------------------------------------------

    def _table(self) -> list[Row]:
        return self._wiring.table(self.model) if self._last is None else self._shown

    def governance(self) -> Governance:
        """How many weight matrices the rule governs, how many learn by backpropagation inside a block, how many by nothing."""
        return count(self._table(), self.rule.cuts)

    def summary(self) -> str:
        """:meth:`governance` in one line, with the argument to pass where backpropagation does much of the work."""
        return summarised(type(self.rule).__name__, self.governance(), len(self.blocks))

    def __repr__(self) -> str:
        rule = ", ".join(f"{key}={value!r}" for key, value in self.rule.config().items() if key != "rule")
        title = f"{type(self.rule).__name__}({rule})" + ("" if self._last is None else ", released")
        return "\n".join([title, *drawn(self._table())])
