"""Attach a rule to a model, without Lightning; strategies and the mixin are thin adapters over this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_fa.optimizers import forgotten, message, watch
from lightning_fa.rehearsal import look_at, rehearse
from lightning_fa.rules import resolve
from lightning_fa.rules.base import (
    AuxiliaryRule,
    DirectRule,
    FrozenRule,
    IndirectRule,
    LocalRule,
    Rule,
    SyntheticRule,
    TransportRule,
)
from lightning_fa.sharding import whole
from lightning_fa.surgery import FEEDBACK, governed
from lightning_fa.table import Governance, count, drawn, summarised
from lightning_fa.wiring import (
    Block,
    CutWiring,
    DirectWiring,
    FrozenWiring,
    IndirectWiring,
    LeakError,
    LocalWiring,
    Survey,
    SyntheticWiring,
    TransportWiring,
    Wiring,
    choose_blocks,
    fit_to,
    without,
)
from lightning_fa.wiring.base import Row
from lightning_fa.wiring.blocks import Blocks, matches
from lightning_fa.wrappers import named_modules, named_parameters, unwrapped

DDP_IGNORES = "_ddp_params_and_buffers_to_ignore"
"""By this attribute DDP is told what not to broadcast: fixed feedback is equal on all ranks by construction."""


class Attached:
    """A rule in a model. Made by :func:`attach`.

    Attributes:
        model: The model that the rule governs, without what wraps it (``torch.compile``, DDP, FSDP, Fabric).
        rule: The rule.
    """

    def __init__(self, model: nn.Module, rule: Rule, wiring: Wiring, blocks: list[str]) -> None:
        self.model = model
        self.rule = rule
        self._wiring = wiring
        self._blocks = blocks
        self._last: dict[str, Tensor] | None = None  # after `detach`, when another rule may have moved in
        self._shown: list[Row] = []
        self._ignored_before = vars(model).get(DDP_IGNORES)
        if not rule.learned:
            names = wiring.slot_names(model)
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
        return dict(self._wiring.feedback()) if self._last is None else self._last

    @property
    def targets(self) -> Tensor | None:
        """The targets of the next forward passes, until :meth:`loss` uses them up; rules that need none ignore them.

        Integers are classes, floats are values. What your own loss masks away must be masked here as well, or it reaches the
        local losses: a class of -100 counts for nothing, as does a value that is NaN. For a graph of which only the training
        nodes may be seen, set ``y.masked_fill(~train_mask, -100)``, or give the strategy or the mixin
        ``targets=lambda batch: batch.y.masked_fill(~batch.train_mask, -100)``.
        """
        return self._wiring.targets

    @targets.setter
    def targets(self, targets: Tensor | None) -> None:
        self._wiring.targets = targets

    @property
    def needs_targets(self) -> bool:
        """Whether the rule reads :attr:`targets`."""
        return self._wiring.needs_targets

    @property
    def needs_loss(self) -> bool:
        """Whether the loss must pass through :meth:`loss`."""
        return self._wiring.needs_loss or getattr(self.rule, "taught", False)

    @property
    def checks_loss(self) -> bool:
        """Whether :meth:`loss` also proves, once, that no true weight carries an error, where the model's own output cannot."""
        return self._wiring.observes_loss

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

    def detach(self) -> None:
        """Take the rule out of the model, which is bitwise as before; :attr:`feedback` can still be read."""
        if self._last is not None:
            return
        self._last, self._shown = {name: b.detach() for name, b in self._wiring.feedback()}, self._rows()
        self._wiring.remove()
        self.model.__dict__.pop(DDP_IGNORES, None)
        if self._ignored_before is not None:
            self.model.__dict__[DDP_IGNORES] = self._ignored_before

    def config(self) -> dict[str, Any]:
        """Rule, settings and blocks as strings and numbers: what a checkpoint must agree with."""
        return {**self.rule.config(), "blocks": list(self._blocks)}

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
        lost = forgotten(self._wiring, self._wiring.slot_names(self.model), optimizers) if self.rule.learned else []
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

    def _rows(self) -> list[Row]:
        rows, wiring = self._wiring.table(), self._wiring
        if isinstance(wiring, TransportWiring):
            shown = {id(p) for module in wiring.described for p in module._parameters.values()}
            others = [
                f"{name}{list(p.shape)}"
                for name, p in named_parameters(self.model)
                if p.ndim >= 2 and id(p) not in shown and FEEDBACK not in name
            ]
            return [*rows, *(Row("-", "-", weight, "none: added or element-wise", "-") for weight in others)]
        if not isinstance(wiring, CutWiring) or isinstance(wiring, FrozenWiring):
            return rows
        inside = {id(p) for module in wiring.adopted for p in module.parameters()}
        names = {id(p): n for n, p in named_parameters(self.model) if p.ndim >= 2 and FEEDBACK not in n}
        around = {key: name for key, name in names.items() if key not in inside}
        if not wiring.owned:
            lost, error = (
                list(around.values()),
                "that of the block that they reach",
            )
        else:
            reached = {id(p) for owned in wiring.owned.values() for p in owned}
            lost, error = [n for key, n in names.items() if key not in reached], "none: frozen, or not used in forward"
        for i, row in enumerate(rows):
            more = [around[id(p)] for p in wiring.owned.get(row.name, ()) if id(p) in around]
            rows[i] = row._replace(governs=", ".join([row.governs, *more]))
        return [*rows, Row("-", "-", ", ".join(lost), error, "-")] if lost else rows

    def governance(self) -> Governance:
        """How many weight matrices the rule governs, how many learn by backpropagation inside a block, how many by nothing."""
        rows = self._rows() if self._last is None else self._shown
        return count(rows, isinstance(self.rule, TransportRule))

    def summary(self) -> str:
        """:meth:`governance` in one line, with the argument to pass where backpropagation does much of the work."""
        return summarised(type(self.rule).__name__, self.governance(), len(self._blocks))

    def __repr__(self) -> str:
        rule = ", ".join(f"{key}={value!r}" for key, value in self.rule.config().items() if key != "rule")
        title = f"{type(self.rule).__name__}({rule})" + ("" if self._last is None else ", released")
        return "\n".join([title, *drawn(self._rows() if self._last is None else self._shown)])


def attach(
    model: nn.Module,
    rule: str | Rule,
    *,
    blocks: Blocks = None,
    ungoverned: str | Sequence[str] = (),
    example: Any = None,
) -> Attached:
    """Let ``rule`` train ``model``, in place of backpropagation, from its next forward pass on.

    Build the optimizer afterwards: learned feedback (of ``kp``, ``wm``, ``dkp``, ``sg``, ``sgprop``) is a parameter of the
    model, which its optimizer trains like any other, with the same rate, decay and clipping.

    Args:
        model: Any module. Its parameters, buffers, ``state_dict`` and outputs stay bitwise as they are.
        rule: A rule or its registry name.
        blocks: Where automatic choice does not serve: name patterns (``["layer*.*", "fc"]``) or modules, in the order in
            which ``forward`` calls them. For direct and local rules each is a unit inside which autograd works as ever; the
            last is the head. :meth:`Attached.summary` says how many weights do learn by autograd inside a block.
        ungoverned: Name patterns of modules or parameters that the rule shall leave to backpropagation, on purpose.
        example: An input of the model (a tensor, a tuple of arguments or a mapping of keywords), for a rehearsal that
            draws all feedback and checks the blocks now instead of in the first forward pass. It also shows automatic choice
            in which order blocks are called, and which blocks are chains of smaller ones, to which it goes down then; where
            blocks are called several times; and where a connection passes a block by: both end at their own output.

    Raises:
        ValueError: a pattern matches nothing, a weight matrix would not be governed, or a layer has no weights yet.
        RuntimeError: a rule is attached already; in the first forward pass, if blocks are called twice or out of order,
            or a true gradient would cross from one block to another, or, under a transport rule, a true weight carries an
            error or meets an operator that is not known to be linear in its input; in an optimizer's first step, if no
            optimizer holds the learned feedback of a layer that it trains.
    """
    rule, model = resolve(rule), unwrapped(model)
    present = [name or type(model).__name__ for name, module in named_modules(model) if governed(module)]
    if present:
        raise RuntimeError(f"A rule is attached to {', '.join(present)} already. Call `attached.detach()` first.")
    patterns = [ungoverned] if isinstance(ungoverned, str) else list(ungoverned)
    chosen = choose_blocks(model, blocks, patterns)
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name, _ in (*named_modules(model), *named_parameters(model))):
            raise ValueError(f"The pattern {pattern!r} in `ungoverned` matches no module and no parameter.")
    if example is None or isinstance(rule, TransportRule):
        attached = _laid(model, rule, chosen, patterns, example)
    else:
        seen = look_at(model, example)
        chosen = fit_to(model, seen, chosen, blocks, patterns)
        attached = _laid_apart(model, rule, chosen, patterns, example, seen)
    if rule.learned:
        watch(attached._wiring, model)
    return attached


def _laid_apart(
    model: nn.Module, rule: Rule, blocks: list[Block], ungoverned: list[str], example: Any, seen: Survey
) -> Attached:
    while True:
        try:
            return _laid(model, rule, blocks, ungoverned, example)
        except LeakError as leak:
            blocks = without(leak, model, seen, blocks)


def _laid(model: nn.Module, rule: Rule, blocks: list[Block], ungoverned: list[str], example: Any) -> Attached:
    wiring = _wire(model, rule, blocks, ungoverned)
    attached = Attached(model, rule, wiring, [block.name for block in blocks])
    try:
        if example is not None:
            rehearse(model, wiring, example)
        wiring.check_ready()
    except Exception:
        attached.detach()
        raise
    return attached


def _wire(model: nn.Module, rule: Rule, blocks: list[Block], ungoverned: list[str]) -> Wiring:
    if isinstance(rule, TransportRule):
        return TransportWiring(rule, blocks, ungoverned, model)
    if isinstance(rule, DirectRule):
        return DirectWiring(rule, blocks)
    if isinstance(rule, (LocalRule, AuxiliaryRule)):
        return LocalWiring(rule, blocks, model)
    if isinstance(rule, SyntheticRule):
        return SyntheticWiring(rule, blocks, model)
    if isinstance(rule, IndirectRule):
        return IndirectWiring(rule, blocks)
    if isinstance(rule, FrozenRule):
        return FrozenWiring(rule, blocks, model)
    raise TypeError(f"Expected `rule` to be of a family in `lightning_fa.rules.base`, but got {type(rule).__name__}.")
