"""Units that receive no gradient."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_fa.ops.wide import double


def dead_units(gradient: Tensor, layer: nn.Module | None = None) -> float:
    """Percent of a layer's units for which every entry of the weight's gradient is exactly zero.

    Args:
        gradient: Of the layer's weight, ``(units, ...)``.
        layer: The layer, if it may be a transposed convolution, whose weight is ``(inputs, units / groups, ...)``.
    """
    weight = gradient.detach()
    if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        weight = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
    rows = weight.reshape(len(weight), -1)
    return 100 * double((rows == 0).all(dim=1)).mean().item()
