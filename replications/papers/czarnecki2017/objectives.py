"""The two losses of the paper, per sample, and their infimum over linear models."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from lightning_fa.metrics import logistic, ridge

Loss = Callable[[Tensor, Tensor], Tensor]


def squared(p: Tensor, y: Tensor) -> Tensor:
    """The squared difference to the one-hot label, the mean over outputs, ``(rows,)``."""
    return (p - one_hot(y, p.shape[1]).to(p)).square().mean(dim=1)


def log_loss(p: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of the softmax, ``(rows,)``."""
    return cross_entropy(p, y, reduction="none")


LOSSES: dict[str, Loss] = {"mse": squared, "log": log_loss}


def optimum(x: Tensor, y: Tensor, loss: str, classes: int = 2) -> float:
    """The infimum of the mean loss over linear models with a bias."""
    if loss == "mse":
        return squared(ridge(x, one_hot(y, classes))(x), y).mean().item()
    readout = logistic(x, y, classes, penalty=0.0)
    separated = bool((readout(x).argmax(dim=1) == y).all())
    return 0.0 if separated else log_loss(readout(x), y).mean().item()


def correlation(u: Tensor, v: Tensor) -> float:
    """Pearson's correlation; 0 if one of the two is constant."""
    found = torch.corrcoef(torch.stack([u.double(), v.double()]))[0, 1].item()
    return found if found == found else 0.0
