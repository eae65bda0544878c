"""Shows on one batch how a model is trained: which error reaches which weight, and its angle to backpropagation's error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_fa.attach import attach
from lightning_fa.attached import Attached
from lightning_fa.batch_loss import loss_of
from lightning_fa.callbacks.passes import Pass, recorded
from lightning_fa.checked import Check, WeightRow
from lightning_fa.metrics import angles
from lightning_fa.rules import Rule
from lightning_fa.training_step import Targets, find_targets
from lightning_fa.undisturbed import undisturbed
from lightning_fa.wiring.blocks.choice import Blocks
from lightning_fa.wiring.transport.layers import matrices_of
from lightning_fa.wrappers import named_modules, named_parameters

ZERO = 1e-4
"""Angle in degrees below which two gradients count as equal. float32 rounds by less, and no other rule comes as close."""


def check(
    model: nn.Module,
    rule: str | Rule | Attached,
    batch: Any,
    loss: Callable[[Any, Any], Tensor] | None = None,
    *,
    blocks: Blocks = None,
    ungoverned: str | Sequence[str] = (),
    targets: Targets = None,
    example: Any = None,
    optimizers: Iterable[Optimizer] | None = None,
    strict: bool = False,
) -> Check:
    """Run ``batch`` through ``model`` with the rule and without it, and compare the gradients of all weight matrices.

    The call leaves no trace: parameters, gradients, buffers, modes and random number states are unchanged afterwards.

    Args:
        model: Any module. Of a LightningModule the ``training_step`` is run.
        rule: A rule or its name, attached during the call, or the :class:`Attached` that trains the model.
        batch: ``(x, y)``, where x is a tensor, a tuple of arguments or a mapping of keywords; for a LightningModule, a batch
            of its ``training_step``.
        loss: ``loss(model(x), y)``, a scalar; not for a LightningModule.
        blocks: See :func:`attach`.
        ungoverned: See :func:`attach`.
        targets: Where the targets are in the batch of a LightningModule; see
            :func:`lightning_fa.training_step.find_targets`.
        example: See :func:`attach`. The default for a LightningModule is its ``example_input_array``.
        optimizers: All optimizers of the model, to report parameters that are in none of them.
        strict: Whether to raise if there are problems, as :meth:`Check.raise_if_wrong` does.

    Raises:
        ValueError: ``loss`` is missing, or the batch is no pair. :func:`attach` raises errors of its own.
        RuntimeError: ``strict``, and there are problems.
    """
    forward = loss_of(model, batch, loss)
    weights = {p: p.detach().clone() for _, p in named_parameters(model)}
    attached = rule if isinstance(rule, Attached) else None
    own: AbstractContextManager[None] = nullcontext() if attached else undisturbed(model)
    with own:
        if attached is None:
            if example is None and isinstance(model, LightningModule):
                example = model.example_input_array
            attached = attach(model, rule, blocks=blocks, ungoverned=ungoverned, example=example)  # type: ignore[arg-type]
        waiting = attached.targets
        try:
            seen = _compare(model, attached, forward, lambda: _targets(model, batch, targets), optimizers)
        finally:
            attached.forget()
            attached.targets = waiting
            if attached is not rule:
                attached.detach()
            _restore(weights)
    if strict:
        seen.raise_if_wrong()
    return seen


def _compare(
    model: nn.Module,
    attached: Attached,
    forward: Callable[[], Tensor],
    targets: Callable[[], Tensor],
    optimizers: Iterable[Optimizer] | None,
) -> Check:
    # The plain pass runs first, because a rule may change a weight in its own pass.
    with attached.suspended(), undisturbed(model):
        theirs, true_loss = _pass(model, attached, forward)
    with undisturbed(model):
        attached.targets = targets() if attached.needs_targets else None
        ours, our_loss = _pass(model, attached, lambda: attached.loss(forward()))
    unchanged = torch.equal(our_loss, true_loss) and all(
        torch.equal(h, theirs.outputs[name]) for name, h in ours.outputs.items() if name in theirs.outputs
    )
    rows = list(_rows(attached, ours, theirs))
    unheld = [] if optimizers is None else _unheld(model, optimizers)
    problems = _problems(attached, rows, unchanged, unheld)
    return Check(attached.config(), rows, unchanged, attached.summary(), unheld, problems)


def _pass(model: nn.Module, attached: Attached, loss: Callable[[], Tensor]) -> tuple[Pass, Tensor]:
    """Forward and backward; no ``.grad`` is written."""
    with torch.enable_grad(), recorded(attached.blocks) as outputs:
        value = loss()
    parameters = {name: p for name, p in named_parameters(model) if p.requires_grad}
    reached = {name: h for name, h in outputs.items() if h.requires_grad}
    found = torch.autograd.grad(value, [*reached.values(), *parameters.values()], allow_unused=True)
    signals = {name: g for name, g in zip(reached, found) if g is not None}
    updates = {name: g for name, g in zip(parameters, found[len(reached) :]) if g is not None}
    return Pass({name: h.detach() for name, h in outputs.items()}, signals, updates), value.detach()


def _rows(attached: Attached, ours: Pass, theirs: Pass) -> Iterable[WeightRow]:
    blocks, masks = attached.blocks, attached.masks
    home = {module: block.name for block in blocks for module in block.module.modules()}
    names = {p: name for name, p in named_parameters(attached.model)}
    trained = {name for p, name in names.items() if p.requires_grad}
    for name, layer in named_modules(attached.model):
        for weight in matrices_of(layer):
            full = f"{name}.{weight}".lstrip(".")
            block, last = home.get(layer, "-"), home.get(layer) == blocks[-1].name
            update = names.get(getattr(layer, weight), full)  # a tied weight has its gradient under its first name
            true, mask = theirs.updates.get(update), masks.get(name if weight == "weight" else full)
            true = true if true is None or mask is None else true * mask.to(true)
            angle = _angle(ours.updates.get(update), true)
            yield WeightRow(
                full,
                block,
                "the true error" if last else "-" if block == "-" else attached.rule.error,
                _angle(ours.signals.get(block), theirs.signals.get(block), rows=True),
                angle,
                _learns(ours.updates.get(update), angle) if update in trained else "not at all (frozen)",
            )


def _learns(update: Tensor | None, angle: float) -> str:
    if update is None or not update.any():
        return "not at all"
    return "as by backpropagation" if angle < ZERO else "by the rule"


def _problems(attached: Attached, rows: Sequence[WeightRow], unchanged: bool, unheld: Sequence[str]) -> list[str]:
    rule, found = attached.rule, []
    head = attached.blocks[-1].name
    if not unchanged:
        found.append("The forward pass is not bitwise that of the model without the rule.")
    below = [row for row in rows if row.block not in (head, "-")]
    if not rule.control:
        same = [row.weight for row in below if row.learns == "as by backpropagation"]
        spared = rule.hears in ("the layer above", "the block above", "the head")  # some may receive the true error
        if same and (not spared or len(same) == len(below)):
            found.append(f"{type(rule).__name__} gives {', '.join(same)} the gradient of backpropagation.")
    elif any(row.learns == "by the rule" for row in rows):
        found.append(
            "The rule is backpropagation, the control, but its gradients are not those of the model without it."
        )
    if not rule.silent:
        idle = [row.weight for row in rows if row.learns == "not at all"]
        if idle:
            found.append(f"{', '.join(idle)} would not learn: their gradient is zero or missing.")
    if unheld:
        found.append(f"No optimizer holds {', '.join(unheld)}.")
    return found


def _unheld(model: nn.Module, optimizers: Iterable[Optimizer]) -> list[str]:
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    return [name for name, p in named_parameters(model) if p.requires_grad and id(p) not in held]


def _targets(model: nn.Module, batch: Any, where: Targets) -> Tensor:
    return find_targets(batch, where if isinstance(model, LightningModule) else 1)


def _angle(u: Tensor | None, v: Tensor | None, rows: bool = False) -> float:
    if u is None or v is None:
        return float("nan")
    return angles(u, v).nanmean().item() if rows else angles(u.reshape(1, -1), v.reshape(1, -1)).item()


def _restore(weights: Mapping[nn.Parameter, Tensor]) -> None:
    with torch.no_grad():
        for p, value in weights.items():
            if not torch.equal(p, value):
                p.copy_(value)
