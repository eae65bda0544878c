"""A rule in a model, as its user sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_fa import late_layers
from lightning_fa.optimizers import forgotten, message
from lightning_fa.rules.base import Rule
from lightning_fa.sharding import whole
from lightning_fa.table import Governance, count, drawn, summarised
from lightning_fa.wiring import Block, Wiring
from lightning_fa.wiring.base import Row

DDP_IGNORES = "_ddp_params_and_buffers_to_ignore"
"""The attribute that names what DDP must not broadcast. Fixed feedback is equal on all ranks by construction."""


class Attached:
    """A rule in a model. Made by :func:`attach`.

    Attributes:
        model: The model that the rule governs, without its wrappers (``torch.compile``, DDP, FSDP, Fabric).
        rule: The rule.
        blocks: In the order in which the network calls them; the last is the head.
    """

    def __init__(self, model: nn.Module, rule: Rule, wiring: Wiring, blocks: Sequence[Block]) -> None:
        self.model = model
        self.rule = rule
        self._wiring = wiring
        self.blocks = list(blocks)
        self._last: dict[str, Tensor] | None = None  # set by `detach`, after which another rule may be attached
        self._shown: list[Row] = []
        self._ignored_before = vars(model).get(DDP_IGNORES)
        if not rule.learned:
            names = wiring.store.full_names(model)
            compiled = [f"_orig_mod.{name}" for name in names]  # what DDP sees of `torch.compile(model)`
            ignored = [*(self._ignored_before or ()), *names, *compiled]
            model.__dict__[DDP_IGNORES] = ignored

    @property
    def feedback(self) -> dict[str, Tensor]:
        """``{block or layer name: B}``, live: values written with ``copy_`` are used from the next step on.

        If the width of a block is not known in advance, as after a convolution, a direct rule draws its B^i in the first
        forward pass. After :meth:`detach` these are the last values.
        """
        # Counters, random streams and masks, which are held too, are integers and booleans.
        return {name: b for name, b in self._held().items() if b.is_floating_point() or b.is_complex()}

    def _held(self) -> dict[str, Tensor]:
        return dict(self._wiring.store.items()) if self._last is None else self._last

    @property
    def targets(self) -> Tensor | None:
        """The targets of the next forward passes, until :meth:`loss` uses them up. Rules that need no targets ignore them.

        Integers are classes, floats are values. Targets that your own loss masks out must be masked here as well, or local losses
        and predictors learn from them: a class of -100 and a value of NaN are ignored. The first step warns of targets that the
        loss leaves out and local losses count. For a padding of class 0 set ``y.masked_fill(y == 0, -100)``, for a graph in
        which only the training nodes may be used ``y.masked_fill(~train_mask, -100)``. Or give the strategy or the mixin
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
        """Whether :meth:`loss` also proves, once, that no true weight carries an error to the blocks."""
        return not self.rule.control

    def loss(self, loss: Tensor) -> Tensor:
        """The loss with the same value. Its backward also trains blocks and feedback that have a loss of their own.

        Needed by rules with local losses and by rules that are not linear in the error. Under other rules the call returns
        ``loss`` itself. A factor inside the call, such as 1/N in ``attached.loss(loss / N)``, does not reach the blocks below
        the head. To accumulate gradients over N batches write ``(attached.loss(loss) / N).backward()``, which scales all
        gradients. The Trainer uses this order. In manual optimisation write ``self.manual_backward(attached.loss(loss) / N)``.

        The call uses up :attr:`targets`, so that the targets of the last batch cannot train the next batch. Set them before every
        forward pass. If an optimizer calls a closure several times, set them inside the closure. Under ``torch.no_grad()`` the
        call uses up the targets, and does nothing else.

        Raises:
            ValueError: ``loss`` is not a scalar, or, at the first call, a weight matrix acts on a block's output.
        """
        if loss.numel() != 1:
            raise ValueError(f"Expected argument `loss` to be a scalar, but got shape {tuple(loss.shape)}.")
        if not torch.is_grad_enabled():  # the loss of a validation: a pass before it may still wait for its own loss
            self.targets = None
            return loss
        return self._wiring.join(loss)

    def forget(self) -> None:
        """Drop the terms that forward passes left for a :meth:`loss` that was never called, for example after an exception.

        The Lightning adapters make this call at the beginning of every training step.
        """
        self._wiring.forget()

    # -- for measurements -------------------------------------------------------------------------------------------------

    @property
    def masks(self) -> dict[str, Tensor]:
        """``{layer: which entries of its weight exist}``, under rules that remove connections."""
        return {name.removesuffix(".mask"): b for name, b in self._held().items() if name.endswith(".mask")}

    def backward_weights(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """``(layer, backward weight, W)``, both in the shape of W, under transport rules; nothing under other rules."""
        return self._wiring.backward_weights(self.model)

    def predict(self, block: str, h: Tensor, targets: Tensor) -> Tensor | None:
        """The gradient of each sample's loss that the rule predicts at ``h``, the output of ``block``.

        ``None`` under rules without synthetic gradients, and for a block without a predictor.
        """
        with torch.no_grad():
            return self._wiring.predict(block, h, targets)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside the context, the model is plain and learns by backpropagation. Feedback and its optimizer state are kept.

        Outside of it, the gradient of an input is the error that the rule sends there, and not the derivative of the output. A
        loss may have a term from inside, such as a penalty on this derivative, which trains the weights by backpropagation (under
        ``fa_sparse`` also those of removed connections).
        """
        targets = self.targets
        try:
            with self._wiring.suspended():
                yield
        finally:
            self.targets = targets

    @contextmanager
    def graphs_kept(self) -> Iterator[None]:
        """Inside the context, no gradient is computed in forward, so that the loss can be differentiated at hidden outputs."""
        step = self._wiring.step
        before, step.settles = step.settles, "never"
        try:
            yield
        finally:
            step.settles = before

    # -- the end, and checkpoints -------------------------------------------------------------------------------------------

    def detach(self) -> None:
        """Take the rule out of the model and leave nothing behind. :attr:`feedback` can still be read."""
        if self._last is not None:
            return
        self._last, self._shown = {name: b.detach() for name, b in self._wiring.store.items()}, self._table()
        self._wiring.remove()
        late_layers.unwatch(self.model)
        self.model.__dict__.pop(DDP_IGNORES, None)
        if self._ignored_before is not None:
            self.model.__dict__[DDP_IGNORES] = self._ignored_before

    def config(self) -> dict[str, Any]:
        """Rule, settings and blocks as strings and numbers. A checkpoint must agree with them."""
        return {**self.rule.config(), "blocks": [block.name for block in self.blocks]}

    def state_dict(self) -> dict[str, Any]:
        """:meth:`config` and the feedback, in types that any loader accepts. Training continues exactly from them."""
        return {
            "config": self.config(),
            "feedback": {n: whole(b.detach()).cpu().clone() for n, b in self._held().items()},
        }

    def check_optimizers(self, optimizers: Iterable[Optimizer]) -> None:
        """Check that ``optimizers``, all optimizers of the model, hold the learned feedback of the layers that they train.

        Raises:
            RuntimeError: feedback is in no optimizer; the message names it. Otherwise an optimizer's first step raises this.
        """
        store = self._wiring.store
        lost = forgotten(store, store.full_names(self.model), optimizers) if self.rule.learned else []
        if lost:
            raise RuntimeError(message(lost))

    def check(self, state: Mapping[str, Any]) -> None:
        """Check that ``state``, a :meth:`state_dict`, was made under the same rule.

        Raises:
            ValueError: the rule, a setting, the seed or the blocks differ; the message says which.
        """
        own, given = self.config(), dict(state["config"])
        differing = [
            f"{key}: checkpoint {given.get(key)!r}, here {own.get(key)!r}"
            for key in sorted(own.keys() | given.keys())
            if own.get(key) != given.get(key)
        ]
        if differing:
            raise ValueError(
                f"The checkpoint was made under another rule ({'; '.join(differing)}). Use the same rule to continue, or load "
                "only the model's weights."
            )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore ``state``, a :meth:`state_dict`, after :meth:`check`."""
        self.check(state)
        with torch.no_grad():
            for name, saved in state["feedback"].items():
                self._wiring.restore(name, saved)

    # -- what is shown ------------------------------------------------------------------------------------------------------

    def _table(self) -> list[Row]:
        return self._wiring.table(self.model) if self._last is None else self._shown

    def governance(self) -> Governance:
        """How many weight matrices learn by the rule, how many by backpropagation inside a block, and how many by neither."""
        return count(self._table(), self.rule.cuts)

    def summary(self) -> str:
        """:meth:`governance` in one line, with the argument to pass if matrices learn by backpropagation inside a block."""
        return summarised(type(self.rule).__name__, self.governance(), len(self.blocks))

    def __repr__(self) -> str:
        rule = ", ".join(f"{key}={value!r}" for key, value in self.rule.config().items() if key != "rule")
        title = f"{type(self.rule).__name__}({rule})" + ("" if self._last is None else ", released")
        return "\n".join([title, *drawn(self._table())])
