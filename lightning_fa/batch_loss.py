"""The loss of a batch: of a LightningModule by its ``training_step``, of any other module by the user's function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor, nn


def loss_of(model: nn.Module, batch: Any, loss: Callable[[Any, Any], Tensor] | None) -> Callable[[], Tensor]:
    """A forward pass of ``model`` on ``batch`` that returns the loss; see :func:`lightning_fa.check`.

    Raises:
        ValueError: ``loss`` is missing, or the batch is no pair; in the pass, if a ``training_step`` gives no loss.
    """
    if isinstance(model, LightningModule):
        return lambda: _training_loss(model, batch)
    if loss is None:
        raise ValueError("Expected `loss`, a function of the model's output and of the targets, but got None.")
    if not isinstance(batch, Sequence) or len(batch) != 2:
        raise ValueError(f"Expected `batch` to be a pair (x, y), but got {type(batch).__name__}.")
    x, y = batch
    if isinstance(x, Mapping):
        return lambda: loss(model(**x), y)
    return (lambda: loss(model(*x), y)) if isinstance(x, tuple) else (lambda: loss(model(x), y))


def _training_loss(module: LightningModule, batch: Any) -> Tensor:
    if not module.automatic_optimization:
        raise ValueError(
            "In manual optimisation `training_step` itself trains. Check its network instead, with `loss`."
        )
    step = getattr(module.training_step, "own", module.training_step)  # without the wrapper of an adapter
    two = is_param_in_hook_signature(step, "batch_idx", min_args=2)
    value = step(batch, 0) if two else step(batch)
    value = value["loss"] if isinstance(value, Mapping) else value
    if not isinstance(value, Tensor):
        raise ValueError(f"Expected `training_step` to return a loss for the batch, but got {type(value).__name__}.")
    return value
