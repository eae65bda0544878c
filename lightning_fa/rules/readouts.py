"""The losses of linear readouts of a block's output, which `lafs` and `solo` share. Functions of tensors, without state."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_fa.labels import known, share

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "mse": F.mse_loss,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
}


def values(rule: str) -> str:
    """The advice in an error message to a user of the class ``rule`` whose targets are no classes."""
    return (
        f'Use {rule}(loss="mse") for regression, or {rule}(loss="binary_cross_entropy") if every output is a yes or no.'
    )


def takes(loss: str) -> str:
    """The targets that the readout takes; see ``LocalRule.takes``."""
    return "classes" if loss == "cross_entropy" else "values"


def advice(loss: str, rule: str) -> str:
    """See ``LocalRule.advice``."""
    return values(rule) if loss == "cross_entropy" else ""


def check_loss(loss: str) -> None:
    """Raise a ``ValueError``, when a rule is constructed, if ``loss`` is unknown."""
    if loss not in LOSSES:
        raise ValueError(f"Expected argument `loss` to be one of {sorted(LOSSES)}, but got {loss!r}.")


def check_outputs(loss: str, outputs: int, name: str, rule: str) -> None:
    """Raise a ``ValueError`` if block ``name`` would learn nothing from the readout."""
    if loss == "cross_entropy" and outputs == 1:
        raise ValueError(
            f"A network of one output has no cross-entropy: its softmax is always 1, so that block {name!r} would not learn. "
            f"{values(rule)}"
        )


def readout_loss(loss: str, readout: Tensor, targets: Tensor) -> Tensor:
    """The mean of ``loss`` over rows that count. ``readout``: ``(rows, outputs)``; ``targets``: classes, or in this shape."""
    if loss == "cross_entropy":
        return F.cross_entropy(readout, targets)
    count, y = known(targets), targets.to(readout.dtype)
    readout = torch.where(count, readout, 0.0)
    return LOSSES[loss](readout, torch.where(count, y, 0.0)) / share(count, readout.dtype)
