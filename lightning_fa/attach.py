"""Attach a rule to a model, without Lightning; strategies and the mixin are thin adapters over this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_fa.rehearsal import rehearse
from lightning_fa.rules import resolve
from lightning_fa.rules.base import DirectRule, LocalRule, Rule, TransportRule
from lightning_fa.surgery import governed
from lightning_fa.wiring import DirectWiring, TransportWiring, Wiring, choose_blocks
from lightning_fa.wiring.base import Row
from lightning_fa.wiring.blocks import Blocks, matches


class Attached:
    """A rule in a model. Made by :func:`attach`.

    Attributes:
        model: The model that the rule governs.
        rule: The rule.
    """

    def __init__(self, model: nn.Module, rule: Rule, wiring: Wiring, blocks: list[str]) -> None:
        self.model = model
        self.rule = rule
        self._wiring = wiring
        self._blocks = blocks
        self._last: dict[str, Tensor] = {}

    @property
    def feedback(self) -> dict[str, Tensor]:
        """``{block or layer name: B}``, live: ``copy_`` into one, and the next backward uses it.

        Direct rules draw B^i of a block whose width is not known before, as after a convolution, in the first forward
        pass. After :meth:`detach` these are the last values.
        """
        return dict(self._wiring.feedback()) or dict(self._last)

    @property
    def targets(self) -> Tensor | None:
        """The targets of the next forward pass, for rules that need them; other rules ignore them."""
        return self._wiring.targets

    @targets.setter
    def targets(self, targets: Tensor | None) -> None:
        self._wiring.targets = targets

    @property
    def needs_targets(self) -> bool:
        """Whether the rule reads :attr:`targets`."""
        return isinstance(self.rule, LocalRule)

    @property
    def needs_loss(self) -> bool:
        """Whether the loss must pass through :meth:`loss`."""
        return isinstance(self.rule, LocalRule) or (isinstance(self.rule, DirectRule) and not self.rule.linear)

    def loss(self, loss: Tensor) -> Tensor:
        """The loss, with the same value, whose backward also trains what has a loss of its own.

        Needed by rules with local losses or that are not linear in the error; for others it returns ``loss`` itself.

        Raises:
            ValueError: ``loss`` is not a scalar.
        """
        if loss.numel() != 1:
            raise ValueError(f"Expected argument `loss` to be a scalar, but got shape {tuple(loss.shape)}.")
        return self._wiring.join(loss)

    def detach(self) -> None:
        """Take the rule out of the model, which is bitwise as before; :attr:`feedback` can still be read."""
        self._last = {name: b.detach() for name, b in self._wiring.feedback()}
        self._wiring.remove()

    def config(self) -> dict[str, Any]:
        """Rule, settings and blocks as strings and numbers: what a checkpoint must agree with."""
        return {**self.rule.config(), "blocks": list(self._blocks)}

    def state_dict(self) -> dict[str, Any]:
        """:meth:`config` and the feedback: all that is needed to continue exactly, in types that any loader accepts."""
        return {"config": self.config(), "feedback": {n: b.detach().cpu().clone() for n, b in self.feedback.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

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
        with torch.no_grad():
            for name, saved in state["feedback"].items():
                self._wiring.restore(name, saved)

    def __repr__(self) -> str:
        rows = [Row("block or layer", "module", "governs", "error", "B"), *self._wiring.table()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(Row._fields))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        rule = ", ".join(f"{key}={value!r}" for key, value in self.rule.config().items() if key != "rule")
        return "\n".join([f"{type(self.rule).__name__}({rule})", *lines])


def attach(
    model: nn.Module,
    rule: str | Rule,
    *,
    blocks: Blocks = None,
    ungoverned: str | Sequence[str] = (),
    example: Any = None,
) -> Attached:
    """Let ``rule`` train ``model``, in place of backpropagation, from its next forward pass on.

    Args:
        model: Any module. Its parameters, buffers, ``state_dict`` and outputs stay bitwise as they are.
        rule: A rule or its registry name.
        blocks: Where automatic choice does not serve: name patterns (``["layer*.*", "fc"]``) or modules. For direct and
            local rules each is a unit inside which autograd works as ever; the last is the head.
        ungoverned: Name patterns of modules that the rule shall leave to backpropagation, on purpose.
        example: An input of the model (a tensor, a tuple of arguments or a mapping of keywords), for one rehearsal that
            draws all feedback and checks the blocks now instead of in the first forward pass.

    Raises:
        ValueError: a pattern matches nothing, a weight matrix would not be governed, or the type of a layer is unknown.
        RuntimeError: a rule is attached already; in the first forward pass, if blocks are called twice or out of order,
            or a true gradient would cross from one block to another.
    """
    rule = resolve(rule)
    present = [name or type(model).__name__ for name, module in model.named_modules() if governed(module)]
    if present:
        raise RuntimeError(f"A rule is attached to {', '.join(present)} already. Call `attached.detach()` first.")
    patterns = [ungoverned] if isinstance(ungoverned, str) else list(ungoverned)
    chosen = choose_blocks(model, blocks, patterns)
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name, _ in model.named_modules()):
            raise ValueError(f"The pattern {pattern!r} in `ungoverned` matches no module.")
    if isinstance(rule, TransportRule):
        wiring: Wiring = TransportWiring(rule, chosen, patterns)
    elif isinstance(rule, (DirectRule, LocalRule)):
        wiring = DirectWiring(rule, chosen)
    else:
        raise TypeError(
            f"Expected `rule` to be a TransportRule, DirectRule or LocalRule, but got {type(rule).__name__}."
        )
    attached = Attached(model, rule, wiring, [block.name for block in chosen])
    try:
        if example is not None:
            rehearse(model, wiring, example)
        wiring.check_ready()
    except Exception:
        attached.detach()
        raise
    return attached
