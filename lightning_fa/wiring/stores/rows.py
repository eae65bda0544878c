"""Tensors as rows: one row per sample, or one row per position if the network's output has the same positions."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lightning_fa.labels import known, known_rows
from lightning_fa.wiring.blocks.choice import weights_of

NO_TARGETS = (
    "This rule needs the targets: set `attached.targets = y` before every forward pass (`attached.loss` uses them up), or tell "
    "the strategy where they are in the batch with `targets=`. Run passes that you do not train on under `torch.no_grad()`."
)


class Layout(NamedTuple):
    """How a block's output h and the network's output line up."""

    width: int
    outputs: int
    per_position: bool
    channels: int | None = None
    """The dimension of h that holds its features, if all positions of a sample share one row; ``None``: dense feedback."""
    leading: int = 1
    """The number of dimensions in front that count as samples. With time steps there are two."""

    def fits(self, h: Tensor) -> bool:
        """Whether this layout also holds for ``h``, which may have another number of samples and positions."""
        if self.per_position:
            return h.ndim > 1 and h.shape[-1] == self.width
        if self.channels is not None:
            return h.ndim > self.channels and h.shape[self.channels] == self.width
        return h.ndim >= self.leading and h.numel() == h.shape[: self.leading].numel() * self.width

    def rows(self, e: Tensor) -> Tensor:
        """``e`` as ``(rows, outputs)``. All dimensions but the last are rows if feedback is per position, else samples are."""
        if self.per_position:
            return e.reshape(-1, e.shape[-1])
        e = self.samples(e)
        return e.reshape(e.shape[0], -1)

    def samples(self, h: Tensor) -> Tensor:
        """``h`` with one dimension of samples in front."""
        return h if self.leading == 1 else h.flatten(0, self.leading - 1)

    def features(self, h: Tensor) -> Tensor:
        """``h`` as ``(rows, width)``. If positions share a row, features are summed over positions."""
        if self.channels is None:
            return self.rows(h)
        return self.samples(h.movedim(self.channels, -1)).flatten(1, -2).sum(1)

    def spread(self, d: Tensor, shape: tuple[int, ...]) -> Tensor:
        """``d`` of shape ``(rows, width)`` in the shape of h. Positions that share a row receive the same error."""
        if self.channels is None:
            return d.reshape(shape)
        thin = [1] * len(shape)
        thin[: self.leading], thin[self.channels] = shape[: self.leading], self.width
        return d.reshape(thin).expand(shape)

    def map(self, h: Tensor) -> Tensor:
        """``h`` as ``(samples, channels, ...)``, or as ``(rows, width)`` if h has no channels."""
        return self.samples(h if self.channels is None else h.movedim(self.channels, self.leading))

    def positions(self, h: Tensor) -> Tensor:
        """``h`` as ``(rows, width)``, with a row for every position unless feedback is dense."""
        if self.channels is None:
            return self.rows(h)
        return h.movedim(self.channels, -1).reshape(-1, self.width)

    def unite(self, s: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The inverse of :meth:`positions`."""
        if self.channels is None:
            return s.reshape(shape)
        moved = [*shape[: self.channels], *shape[self.channels + 1 :], self.width]
        return s.reshape(moved).movedim(-1, self.channels)


class Axes(NamedTuple):
    """What the dimensions of a block's output hold, as far as the block's last layer shows."""

    samples: int
    """The most dimensions in front that can be samples, or time steps and samples."""
    channels: int | None
    """The dimension that holds the features; ``None`` for at most two dimensions."""


def axes_of(module: nn.Module, h: Tensor) -> Axes:
    """The axes of ``h``, the output of the block ``module``.

    The map of a convolution has its channels before its positions, as in ``(samples, channels, height, width)`` or ``(steps,
    samples, channels, height, width)``. Of other outputs all dimensions but the last can be samples or positions.
    """
    front = h.ndim - 1
    if front <= 1:
        return Axes(front, None)
    last = _last(module)
    convolution = isinstance(last, _ConvNd)
    before = front - len(last.kernel_size) if convolution else 1
    width = last.out_channels if convolution else getattr(last, "out_features", None)
    order = (max(before, 1), front) if convolution else (front, before)
    found = [dim for dim in order if h.shape[dim] == width] or order
    is_map = before >= 1 and found[0] == before and h.shape[before] == width
    return Axes(before if is_map else front, found[0])


def _last(module: nn.Module) -> Any:
    # lists, because dynamo of PyTorch 2.8 does not support next() with a default
    return [module, *(m for m in module.modules() if weights_of(m))][-1]


def lay_out(name: str, h: Tensor, output: Tensor, module: nn.Module, shared: bool) -> Layout:
    """Feedback is per position if h and the output share all dimensions but the last, else per channel or per unit.

    The dimensions in front that h and the output share, and that can be samples, are samples: the first, or time steps and
    samples.

    Args:
        name: The name of the block, for the message.
        h: The block's output.
        output: The network's output.
        module: The block.
        shared: Whether positions that the output does not have share their feedback, which is then per channel.

    Raises:
        ValueError: h and the output do not share the batch dimension.
    """
    # Under an output of two dimensions only the first can be shared: no step needs to look at the block's layers.
    axes = axes_of(module, h) if shared or output.ndim > 2 else Axes(h.ndim - 1, None)
    most = min(h.ndim, output.ndim, max(axes.samples, 1), max(output.ndim - 1, 1))
    if h.ndim == 1 and getattr(_last(module), "out_features", None) == h.shape[0]:
        most = 0  # one sample without a batch: its units are no samples
    leading = 0
    while leading < most and h.shape[leading] == output.shape[leading]:
        leading += 1
    if leading == h.ndim - 1 == output.ndim - 1:
        return Layout(h.shape[-1], output.shape[-1], True)
    if not leading:
        raise ValueError(
            f"The output of block {name!r} has shape {tuple(h.shape)} and the network's output {tuple(output.shape)}: "
            "expected the same batch dimension first. Choose other blocks with `blocks`. If the last block is a part of the loss "
            "only (class centers, proxies), name it in `ungoverned`."
        )
    outputs = output.shape[leading:].numel()
    if shared and axes.channels is not None and leading < h.ndim - 1:
        return Layout(h.shape[axes.channels], outputs, False, axes.channels, leading)
    return Layout(h.shape[leading:].numel(), outputs, False, None, leading)


def check_samples_first(name: str, h: Tensor, layout: Layout, module: nn.Module) -> None:
    """Check that the first dimension of h, the output of the block ``module``, cannot be time steps of the size of a batch.

    Raises:
        ValueError: the second dimension has the same size, and the block holds a layer that takes steps first.
    """
    if layout.per_position or layout.leading >= h.ndim - 1 or h.shape[0] != h.shape[1]:
        return
    if any(getattr(each, "batch_first", None) is False for each in module.modules()):
        raise ValueError(
            f"The output of block {name!r} has shape {tuple(h.shape)}: either of the first two dimensions can be the samples, "
            "and the block has a layer with `batch_first=False`. Pass `example=`, an input of the model, to `attach` (a "
            "LightningModule: set `example_input_array`), with another number of samples than of time steps. Blocks between "
            "which steps come first are an error then: set `batch_first=True`."
        )


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


def as_labels(targets: Tensor | None, samples: int, positions: int, outputs: int) -> tuple[Tensor, Tensor]:
    """Targets as ``(samples * positions, outputs)``: classes one-hot, a sample's label repeated at its positions.

    A class outside ``0 .. outputs - 1``, such as an ignored class, becomes a row of zeros, and a value of NaN becomes zero.

    Returns:
        The labels, and which of their rows count.

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
    y = (
        torch.where(known(targets), targets, 0.0).reshape(rows, outputs)
        if values
        else targets.reshape(rows, 1) == classes
    )
    repeats = samples * positions // rows
    return y.repeat_interleave(repeats, 0), known_rows(targets, outputs).repeat_interleave(repeats, 0)
