"""Tensors as rows: one row per sample, or one row per position if the network's output has the same positions."""

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
    """The dimension of h that holds its features, if all positions of a sample share one row; ``None``: dense feedback."""

    def fits(self, h: Tensor) -> bool:
        """Whether this layout also holds for ``h``, which may have another number of samples and positions."""
        if self.per_position:
            return h.ndim > 1 and h.shape[-1] == self.width
        if self.channels is not None:
            return h.ndim > self.channels and h.shape[self.channels] == self.width
        return h.ndim > 0 and h.numel() == len(h) * self.width

    def rows(self, e: Tensor) -> Tensor:
        """``e`` as ``(rows, outputs)``. All leading dimensions are rows if feedback is per position, else only the first."""
        return e.reshape(-1, e.shape[-1]) if self.per_position else e.reshape(e.shape[0], -1)

    def features(self, h: Tensor) -> Tensor:
        """``h`` as ``(rows, width)``. If positions share a row, features are summed over positions."""
        if self.channels is None:
            return self.rows(h)
        return h.movedim(self.channels, -1).flatten(1, -2).sum(1)

    def spread(self, d: Tensor, shape: torch.Size) -> Tensor:
        """``d`` of shape ``(rows, width)`` in the shape of h. Positions that share a row receive the same error."""
        if self.channels is None:
            return d.reshape(shape)
        thin = [1] * len(shape)
        thin[0], thin[self.channels] = d.shape
        return d.reshape(thin).expand(shape)

    def positions(self, h: Tensor) -> Tensor:
        """``h`` as ``(rows, width)``, with a row for every position unless feedback is dense."""
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
    """Feedback is per position if h and the output share all dimensions but the last, else per channel or per unit.

    Args:
        name: The name of the block, for the message.
        h: The block's output.
        output: The network's output.
        channels: Dimension of h that holds the features, for feedback per channel; ``None`` for feedback per unit.

    Raises:
        ValueError: h and the output do not share the batch dimension.
    """
    if h.ndim and output.ndim and h.shape[:-1] == output.shape[:-1]:
        return Layout(h.shape[-1], output.shape[-1], True)
    if not h.ndim or not output.ndim or h.shape[0] != output.shape[0]:
        raise ValueError(
            f"The output of block {name!r} has shape {tuple(h.shape)} and the network's output {tuple(output.shape)}: "
            "expected the same batch dimension first. Choose other blocks with `blocks`."
        )
    if channels is not None and h.ndim > 2:
        return Layout(h.shape[channels], output[0].numel(), False, channels)
    return Layout(h[0].numel(), output[0].numel(), False)


def match_targets(targets: Tensor | None, rows: int) -> Tensor:
    """Targets as ``(rows,)`` classes or ``(rows, outputs)`` values.

    Raises:
        ValueError: there are no targets, or their number does not fit.
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

    A class outside ``0 .. outputs - 1``, such as an ignored class, becomes a row of zeros.

    Raises:
        ValueError: there are no targets, or their number does not fit.
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
