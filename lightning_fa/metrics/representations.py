"""Similarities between samples in a layer's representation, whatever the layer's units are."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_fa.ops.wide import double


def similarity(h: Tensor) -> Tensor:
    """The representational similarity matrix (RSM): Pearson's correlation of every two rows of ``h``.

    Args:
        h: ``(rows, ...)``, one row per sample.

    Returns:
        ``(rows, rows)``; a row that is constant over its units has similarity 0 to all others, and 1 to itself.
    """
    rows = double(h.detach()).reshape(len(h), -1)
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    matrix = (rows @ rows.T).clamp(-1, 1)
    return matrix.fill_diagonal_(1)


def dissimilarity(h: Tensor) -> Tensor:
    """The representational dissimilarity matrix (RDM), 1 - :func:`similarity`."""
    return 1 - similarity(h)


def representation_similarity(first: Tensor, second: Tensor) -> Tensor:
    """The similarity of two RSMs (or two RDMs) of the same samples: Pearson's correlation of their upper triangles.

    Args:
        first: ``(rows, rows)``.
        second: The same shape.

    Raises:
        ValueError: The shapes differ or are not square, or there are fewer than three samples.
    """
    if first.shape != second.shape or first.ndim != 2 or first.shape[0] != first.shape[1] or len(first) < 3:
        raise ValueError(
            f"Expected two square matrices over the same three samples or more, but got {tuple(first.shape)} and "
            f"{tuple(second.shape)}."
        )
    first, second = double(first), double(second)
    above = torch.triu_indices(len(first), len(first), offset=1).to(
        first.device
    )  # on the CPU first: few backends have it
    pairs = torch.stack([m[above[0], above[1]] for m in (first, second)])
    return torch.corrcoef(pairs)[0, 1]


def class_contrast(matrix: Tensor, labels: Tensor) -> Tensor:
    """Mean of an RSM over pairs of samples of one class, minus its mean over pairs of two classes."""
    labels = labels.to(matrix.device)
    same = labels[:, None] == labels[None, :]
    other = ~same
    within = same.fill_diagonal_(False)
    return matrix[within].mean() - matrix[other].mean()


def linear_cka(first: Tensor, second: Tensor) -> Tensor:
    """Linear centred kernel alignment, 0 to 1. Source: Kornblith et al. 2019, eq. 4.

    Args:
        first: ``(rows, ...)``, one row per sample.
        second: The same samples in another layer or run; any width.
    """
    x, y = (double(t.detach()).reshape(len(t), -1) for t in (first, second))
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    # Gram matrices over samples: their size does not depend on the widths.
    K, L = x @ x.T, y @ y.T
    return (K * L).sum() / (K.norm() * L.norm())
