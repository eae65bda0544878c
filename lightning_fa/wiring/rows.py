"""Tensors as rows: one row per sample, or per position where the network scores every position."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NO_TARGETS = (
    "This rule needs the targets: set `attached.targets = y` before every forward pass (`attached.loss` uses them up), or tell "
    "the strategy where they are in the batch with `targets=`."
)


class Layout(NamedTuple):
    """How a block's output h and the network's output line up."""

    width: int
    outputs: int
    per_position: bool
    channels: int | None = None
    """The dimension of h that holds its features, where all positions of a sample share one row; else dense."""

    def fits(self, h: Tensor) -> bool:
        """Whether h, of any number of samples and positions, lines up so as well."""
        if self.per_position:
            return h.ndim > 1 and h.shape[-1] == self.width
        if self.channels is not None:
            return h.ndim > self.channels and h.shape[self.channels] == self.width
        return h.ndim > 0 and h.numel() == len(h) * self.width

    def rows(self, e: Tensor) -> Tensor:
        """``(rows, outputs)``: all leading dimensions are rows per position, only the first one otherwise."""
        return e.reshape(-1, e.shape[-1]) if self.per_position else e.reshape(e.shape[0], -1)

    def features(self, h: Tensor) -> Tensor:
        """``(rows, width)``; features that positions share are summed over them."""
        if self.channels is None:
            return self.rows(h)
        return h.movedim(self.channels, -1).flatten(1, -2).sum(1)

    def spread(self, d: Tensor, shape: torch.Size) -> Tensor:
        """``d`` of shape ``(rows, width)`` in the shape of h; positions that share a row get the same."""
        if self.channels is None:
            return d.reshape(shape)
        thin = [1] * len(shape)
        thin[0], thin[self.channels] = d.shape
        return d.reshape(thin).expand(shape)

    def positions(self, h: Tensor) -> Tensor:
        """``(rows, width)`` with a row for every position of h, where features are not dense."""
        if self.channels is None:
            return self.rows(h)
        return h.movedim(self.channels, -1).reshape(-1, self.width)

    def unite(self, s: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of :meth:`positions`."""
        if self.channels is None:
            return s.reshape(shape)
        moved = [*shape[: self.channels], *shape[self.channels + 1 :], self.width]
        return s.reshape(moved).movedim(-1, self.channels)


def lay_out(name: str, h: Tensor, output: Tensor, channels: int | None = None) -> Layout:
    """Feedback is per position where h and the output share all dimensions but the last, else dense per unit.

    Args:
        name: Of the block, for the error.
        h: The block's output.
        output: The network's output.
        channels: Dimension of h that holds the features if feedback shall not be dense.

    Raises:
        ValueError: they do not even share the batch dimension.
    """
    if h.ndim and output.ndim and h.shape[:-1] == output.shape[:-1]:
        return Layout(h.shape[-1], output.shape[-1], True)
    if not h.ndim or not output.ndim or h.shape[0] != output.shape[0]:
        raise ValueError(
            f"The output of block {name!r} has shape {tuple(h.shape)} and that of the network {tuple(output.shape)}: "
            "expected the same batch dimension first. Choose other blocks with `blocks`."
        )
    if channels is not None and h.ndim > 2:
        return Layout(h.shape[channels], output[0].numel(), False, channels)
    return Layout(h[0].numel(), output[0].numel(), False)


def match_targets(targets: Tensor | None, rows: int) -> Tensor:
    """Targets as ``(rows,)`` classes or ``(rows, outputs)`` values.

    Raises:
        ValueError: there are none, or their number does not fit.
    """
    if targets is None:
        raise ValueError(NO_TARGETS)
    if targets.numel() == rows:
        return targets.reshape(rows) if not targets.is_floating_point() else targets.reshape(rows, 1)
    if targets.ndim < 2 or targets.numel() % rows or targets.shape[0] > rows:
        raise ValueError(f"Expected targets for {rows} rows, but got shape {tuple(targets.shape)}.")
    return targets.reshape(rows, -1)


def as_labels(targets: Tensor | None, samples: int, positions: int, outputs: int) -> Tensor:
    """Targets as ``(samples * positions, outputs)``: classes one-hot, a sample's label repeated at its positions.

    A class outside ``0 .. outputs - 1``, as an index to be ignored, is a row of zeros.

    Raises:
        ValueError: there are none, or their number does not fit.
    """
    if targets is None:
        raise ValueError(NO_TARGETS)
    values = targets.is_floating_point()
    rows = targets.numel() // outputs if values else targets.numel()
    if rows not in (samples, samples * positions):
        raise ValueError(
            f"Expected targets for {samples} samples of {positions} positions and {outputs} outputs, but got shape "
            f"{tuple(targets.shape)}."
        )
    classes = torch.arange(outputs, device=targets.device)
    y = targets.reshape(rows, outputs) if values else targets.reshape(rows, 1) == classes
    return y.repeat_interleave(samples * positions // rows, 0)
