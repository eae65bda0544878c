"""Targets in the form that a rule with a loss of its own reads: one class per row, or one value per output."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from lightning_fa.labels import IGNORED, known
from lightning_fa.rules.base import LocalRule
from lightning_fa.wiring.stores.rows import NO_TARGETS


def read_targets(targets: Tensor | None, rows: int, outputs: int, rule: LocalRule, look: bool) -> Tensor:
    """Targets as ``(rows,)`` classes, or as ``(rows, outputs)`` values in floats.

    Args:
        targets: The targets of the batch.
        rows: The number of samples, or of positions if the loss scores every position.
        outputs: The number of outputs of the network.
        rule: Says which of the two forms it takes.
        look: Whether to check the values of the targets as well as their shape.

    Raises:
        ValueError: there are no targets, their shape does not fit, a class is neither -100 nor one of ``0 .. outputs - 1``,
            or values are no class probabilities although classes are expected.
    """
    if targets is None:
        raise ValueError(NO_TARGETS)
    if rule.takes == "values":
        return _values(targets, rows, outputs, rule)
    if not targets.is_floating_point() and targets.numel() == rows:
        classes = targets.reshape(rows).long()
        if outputs == 1:
            raise ValueError(
                f"{_named(rule)} got classes as targets, but the network has one output, which has no classes. Give the "
                f"targets as floats, one per row ({rows} here)."
            )
        if look:
            check_classes(classes, outputs)
        return classes
    if rule.takes == "any" or (outputs > 1 and targets.numel() == rows * outputs):
        values = _values(targets, rows, outputs, rule)
        if rule.takes == "classes" and look:
            _check_probabilities(values, rule)
        return values
    raise ValueError(
        f"Expected targets for {rows} rows: {_named(rule)} takes one class per row or class "
        f"probabilities of shape {(rows, outputs)}, but got {targets.dtype} "
        f"targets of shape {tuple(targets.shape)}.{_hint(rule)} If the loss scores positions, this block and "
        "the head must both return (samples, positions, features), as in a transformer: the pixels of a convolution are no rows. "
        "If time steps come before the samples, give every step its targets: `y.expand(steps, -1)`."
    )


def warn_of_masked(e: Tensor | None, targets: Tensor, rule: LocalRule) -> None:
    """Warn if the network's loss leaves targets out that the local losses of ``rule`` count.

    Args:
        e: The error at the network's output, exactly zero where the loss leaves a target out. ``None`` if the loss does not
            depend on the output, which is an error elsewhere.
        targets: The targets of the batch: a class for each row of e, or a value for each entry.
        rule: Named in the warning.
    """
    if e is None:
        return
    classes = e.ndim > 1 and targets.numel() * e.shape[-1] == e.numel() and not targets.is_floating_point()
    if not classes and targets.numel() != e.numel():
        return
    heard = (e != 0).flatten(0, -2).any(1) if classes else e.flatten() != 0
    counted = known(targets).flatten()
    lost = int((counted & ~heard).sum())
    if lost and heard.any():
        warnings.warn(
            f"{lost} of {int(counted.sum())} targets have no error at the network's output, but {_named(rule)} learns from them "
            "in every block. If your loss leaves them out (`ignore_index`, padding, a mask), mask them for the rule as well: a "
            "class of -100, a value of NaN. See `Attached.targets`, and `targets=` of the strategy and the mixin.",
            stacklevel=2,
        )


def check_classes(classes: Tensor, outputs: int) -> None:
    """Check that every class is one of ``0 .. outputs - 1``, or is ignored.

    Raises:
        ValueError: a class is neither.
    """
    if not classes.numel():
        return
    lowest, highest = classes.aminmax()
    if lowest.item() >= 0 and highest.item() < outputs:  # the usual case, in one operation
        return
    wrong = classes[((classes < 0) | (classes >= outputs)) & (classes != IGNORED)]
    if wrong.numel():
        raise ValueError(
            f"The targets hold {wrong[0].item()}, but the network's outputs are the classes 0 .. {outputs - 1}. Rows to be "
            f"ignored have the target {IGNORED}."
        )


def _values(targets: Tensor, rows: int, outputs: int, rule: LocalRule) -> Tensor:
    if targets.numel() != rows * outputs or (rows and outputs > 1 and targets.ndim < 2):
        raise ValueError(
            f"Expected targets for {rows} rows: {_named(rule)} takes values of shape {(rows, outputs)}, one "
            f"per output, but got {targets.dtype} targets of shape {tuple(targets.shape)}."
        )
    values = targets.reshape(rows, outputs)
    if values.is_floating_point():
        return values
    floats = values.to(torch.get_default_dtype())
    return floats.masked_fill(values == IGNORED, torch.nan)


def _check_probabilities(values: Tensor, rule: LocalRule) -> None:
    total = values.double().sum(1)
    if (values < 0).any() or ((total - 1).abs() > 4 * torch.finfo(torch.bfloat16).eps).any():
        raise ValueError(
            f"{_named(rule)} scores classes, so that targets of {values.dtype} must be class probabilities: rows without "
            f"negative entries that sum to 1. These targets are not.{_hint(rule)}"
        )


def _named(rule: LocalRule) -> str:
    loss = getattr(rule, "loss", None)
    return type(rule).__name__ + (f'(loss="{loss}")' if loss else "")


def _hint(rule: LocalRule) -> str:
    return f" {rule.advice}" if rule.advice else ""
