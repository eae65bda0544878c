"""Tensors as rows: one row per sample, or per position where the network scores every position."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Layout(NamedTuple):
    """How a block's output h and the network's output line up."""

    width: int
    outputs: int
    per_position: bool

    def rows(self, t: Tensor) -> Tensor:
        """``(rows, features)``: all leading dimensions are rows per position, only the first one otherwise."""
        return t.reshape(-1, t.shape[-1]) if self.per_position else t.reshape(t.shape[0], -1)


def lay_out(name: str, h: Tensor, output: Tensor) -> Layout:
    """Feedback is per position where h and the output share all dimensions but the last, else dense per unit.

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
    return Layout(h[0].numel(), output[0].numel(), False)


def match_targets(targets: Tensor | None, rows: int) -> Tensor:
    """Targets as ``(rows,)`` classes or ``(rows, outputs)`` values.

    Raises:
        ValueError: there are none, or their number does not fit.
    """
    if targets is None:
        raise ValueError(
            "This rule needs the targets: set `attached.targets = y` before the forward pass, or tell the strategy where "
            "they are in the batch with `targets=`."
        )
    if targets.numel() == rows:
        return targets.reshape(rows) if not targets.is_floating_point() else targets.reshape(rows, 1)
    if targets.ndim < 2 or targets.numel() % rows or targets.shape[0] > rows:
        raise ValueError(f"Expected targets for {rows} rows, but got shape {tuple(targets.shape)}.")
    return targets.reshape(rows, -1)
