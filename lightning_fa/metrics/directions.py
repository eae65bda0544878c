"""Angles and cosines between vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_fa.ops.wide import double


def angles(u: Tensor, v: Tensor) -> Tensor:
    """The angle in degrees between each row of ``u`` and the same row of ``v``; nan where either row is zero.

    Kahan's ``2 atan2(|u/|u| - v/|v||, |u/|u| + v/|v||)``, which unlike arccos is exact near 0 and 180 degrees.

    Args:
        u: ``(rows, ...)``; all dimensions but the first are one vector.
        v: The same shape.

    Raises:
        ValueError: The shapes differ.
    """
    return angles_and_cosines(u, v)[0]


def cosines(u: Tensor, v: Tensor) -> Tensor:
    """The cosine between each row of ``u`` and the same row of ``v``; nan where either row is zero. See :func:`angles`."""
    return angles_and_cosines(u, v)[1]


def angles_and_cosines(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`angles` and :func:`cosines` at once, which is cheaper than both by themselves."""
    u, v = _unit_rows(u, v)
    apart, cosine = (u - v).norm(dim=1), torch.linalg.vecdot(u, v).clamp(-1, 1)
    return torch.rad2deg(2 * torch.atan2(apart, u.add_(v).norm(dim=1))), cosine


def chance(size: int) -> float:
    """The standard deviation of the cosine of two random directions in ``size`` dimensions, the scale of chance."""
    if size < 1:
        raise ValueError(f"Expected argument `size` to be at least 1, but got {size}.")
    return float(size) ** -0.5


def _unit_rows(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    if u.shape != v.shape or not u.ndim:
        raise ValueError(f"Expected two tensors of one shape with rows, but got {tuple(u.shape)} and {tuple(v.shape)}.")
    u, v = (double(t.detach()).reshape(len(t), -1) for t in (u, v))
    # First divided by the largest entry, because the square of a small gradient is zero.
    u, v = (t / torch.linalg.vector_norm(t, float("inf"), dim=1, keepdim=True) for t in (u, v))
    return u.div_(u.norm(dim=1, keepdim=True)), v.div_(v.norm(dim=1, keepdim=True))
