"""Linear probes: the best linear map from a layer to the labels, or back to the input."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightning_fa.ops.wide import double


class Readout(NamedTuple):
    """A fitted map ``h W + b``."""

    weight: Tensor
    bias: Tensor

    def __call__(self, h: Tensor) -> Tensor:
        """``(rows, outputs)`` of ``h``, ``(rows, ...)``."""
        return double(h.detach()).reshape(len(h), -1) @ self.weight + self.bias


def ridge(h: Tensor, values: Tensor, penalty: float = 0.0) -> Readout:
    r"""The minimum of :math:`\sum \|h W + b - y\|^2 + p \|W\|^2`, in closed form.

    Args:
        h: ``(rows, ...)``.
        values: ``(rows, ...)``; for a classifier the one-hot labels.
        penalty: p. With 0 the solution of least norm.
    """
    x, y = (double(t.detach()).reshape(len(t), -1) for t in (h, values))
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    x, y = x - x_mean, y - y_mean
    wide = len(x) < x.shape[1]  # the smaller of the two systems that have the same solution
    weight = x.T @ _solve(x @ x.T, y, penalty) if wide else _solve(x.T @ x, x.T @ y, penalty)
    return Readout(weight, y_mean - x_mean @ weight)


def _solve(gram: Tensor, right: Tensor, penalty: float) -> Tensor:
    if penalty > 0:
        return torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype, device=gram.device), right)
    return torch.linalg.pinv(gram, hermitian=True, rtol=1e-12) @ right


@torch.inference_mode(False)
@torch.enable_grad()
def logistic(h: Tensor, labels: Tensor, classes: int, penalty: float = 1e-4, steps: int = 500) -> Readout:
    r"""Multinomial logistic regression trained to convergence, on features standardised to mean 0 and variance 1.

    The minimum of :math:`\tfrac1n \sum -\log p(y|h) + \tfrac{p}{2} \|W\|^2`, by L-BFGS over all rows at once.

    Args:
        h: ``(rows, ...)``.
        labels: ``(rows,)``.
        classes: Number of classes.
        penalty: p, on the weights of the standardised features.
        steps: Largest number of iterations. The solver stops earlier if the gradient vanishes.
    """
    x = double(h.detach().clone()).reshape(len(h), -1)  # the clone of an inference-mode tensor is an ordinary tensor
    labels = labels.clone().to(x.device)
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    x = (x - mean) / std
    weight = torch.zeros(x.shape[1], classes, dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, device=x.device, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=steps, tolerance_grad=1e-8, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        loss = cross_entropy(x @ weight + bias, labels) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    scaled = weight.detach() / std[:, None]
    return Readout(scaled, bias.detach() - mean @ scaled)
