"""Units that receive no gradient."""

from __future__ import annotations

from torch import Tensor

from lightning_fa.ops.wide import double


def dead_units(gradient: Tensor) -> float:
    """Percent of a layer's units whose whole row of the weight's gradient, ``(units, ...)``, is exactly zero."""
    rows = gradient.detach().reshape(len(gradient), -1)
    return 100 * double((rows == 0).all(dim=1)).mean().item()
