"""The comparisons of AlignmentMonitor, one function each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from lightning_fa.callbacks.passes import Pass
from lightning_fa.callbacks.sums import Sums
from lightning_fa.labels import known
from lightning_fa.metrics import chance, output_error, readout_error
from lightning_fa.metrics.readouts import loss_of
from lightning_fa.ops.wide import double
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.stores.rows import lay_out, match_targets
from lightning_fa.wiring.transport.layers import matrices_of
from lightning_fa.wrappers import named_modules


def compare_signals(sums: Sums, block: str, prefix: str, ours: Pass, theirs: Pass | None) -> None:
    """Add the directions of the signals of two passes at a block's output, per sample."""
    if theirs is not None and block in ours.signals and block in theirs.signals:
        sums.directions(block, prefix, ours.signals[block], theirs.signals[block])


def weight_layers(module: nn.Module, blocks: Iterable[Block]) -> list[tuple[str, nn.Module]]:
    """The modules inside ``blocks`` that hold a weight matrix, by name."""
    inside = {layer for block in blocks for layer in block.module.modules()}
    return [(name, layer) for name, layer in named_modules(module) if layer in inside and matrices_of(layer)]


def compare_updates(
    sums: Sums,
    name: str,
    layer: nn.Module,
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
) -> None:
    """Add the directions of the gradients of a layer's weights in two passes.

    Where a mask removes an entry of the weight, backpropagation's gradient of the entry is set to zero.
    """
    for weight in matrices_of(layer):
        full = f"{name}.{weight}".lstrip(".")
        if full in ours and full in theirs:
            prefix = "update_" if weight == "weight" else f"{weight}_update_"
            mask = masks.get(name if weight == "weight" else full)
            other = theirs[full] if mask is None else theirs[full] * mask.to(theirs[full])
            sums.directions(name, prefix, ours[full].reshape(1, -1), other.reshape(1, -1), spread=False)
            entries = ours[full].numel() if mask is None else max(int(mask.count_nonzero()), 1)
            sums.fixed(name, f"{prefix}chance", ours[full], lambda _, entries=entries: chance(entries))


def read_out(
    sums: Sums, block: Block, B: Tensor, h: Tensor, output: Tensor, targets: Tensor, error: Tensor | None = None
) -> None:
    """Add the directions of the readout's error (of h through B) and the output's error, and the accuracy of the readout.

    Rows of class -100 are left out. If no other row is left, or if the output is complex, nothing is added. For targets that
    are values, ``error``, the gradient of the network's loss at the output, tells the loss. If the loss is none that
    :func:`~lightning_fa.metrics.output_error` knows, nothing is added.
    """
    if output.is_complex() or B.is_complex():
        return
    name = block.name
    layouts = [lay_out(name, h, output, block.module, shared) for shared in (False, True)]
    layout = next((each for each in layouts if B.shape == (each.width, each.outputs)), None)
    if layout is None:
        return
    rows, logits = double(layout.features(h)), layout.rows(output)
    e = None if error is None else layout.rows(error)
    y = match_targets(targets, len(rows))
    if y.ndim == 1:
        counts = known(y)
        rows, logits = rows[counts.to(rows.device)], logits[counts.to(logits.device)]
        e, y = None if e is None else e[counts.to(e.device)], y[counts]
    y = y.to(rows.device)
    if not len(y):
        return
    classes = y.ndim == 1 and not y.is_floating_point()
    loss = "cross_entropy" if classes else None if e is None else loss_of(e, logits, y)
    if loss is not None:
        sums.directions(name, "error_", readout_error(rows, B, y, loss), output_error(logits, y, loss))
    if classes:
        right = 100 * double((rows @ double(B)).argmax(dim=1) == y).mean().item()
        sums.fixed(name, "readout_accuracy", rows, lambda _: right)
