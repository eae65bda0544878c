"""The accuracy of synthetic gradients, and the loss that they imply (Czarnecki et al. 2017)."""

from __future__ import annotations

from torch import Tensor

from lightning_fa.ops.wide import double


def relative_error(synthetic: Tensor, gradient: Tensor) -> Tensor:
    """``|SG - g|^2 / |g|^2`` over all entries: 0 if SG is exact, 1 if SG is zero."""
    s, g = double(synthetic.detach()), double(gradient.detach())
    return (s - g).square().sum() / g.square().sum()


def implied_loss(h: Tensor, quadratic: Tensor, linear: Tensor) -> Tensor:
    r"""The loss, up to a constant, whose gradient with respect to h is the linear synthetic gradient ``h A + c``.

    .. math:: \hat L(h) = \tfrac12 h \, \tfrac{A + A^T}{2} \, h^T + c \, h^T

    ``h A`` is the gradient of a loss only if A is symmetric. :func:`antisymmetric_share` is the part of A that is left out.

    Args:
        h: ``(rows, width)``.
        quadratic: A, ``(width, width)``.
        linear: c, ``(rows, width)`` or ``(width,)``: the part of the gradient that does not depend on h, as y B + C.

    Returns:
        ``(rows,)``.
    """
    h, A, c = (double(t.detach()) for t in (h, quadratic, linear))
    symmetric = (A + A.T) / 2
    return ((h @ symmetric / 2 + c) * h).sum(dim=-1)


def antisymmetric_share(quadratic: Tensor) -> Tensor:
    """``|A - A^T|^2 / (4 |A|^2)``, 0 to 1: the part of A that is not the gradient of any loss."""
    A = double(quadratic.detach())
    return (A - A.T).square().sum() / (4 * A.square().sum())
