"""SyntheticGradientMonitor: how well synthetic gradients predict the true gradient."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightning_fa.attached import Attached
from lightning_fa.callbacks.monitor import Monitor
from lightning_fa.callbacks.passes import Pass, find_attached, run
from lightning_fa.callbacks.schedule import Steps
from lightning_fa.callbacks.sending import send_numbers
from lightning_fa.callbacks.sums import Sums
from lightning_fa.labels import known, known_rows, share
from lightning_fa.metrics import antisymmetric_share, implied_loss, relative_error
from lightning_fa.ops.wide import double
from lightning_fa.training_step import Targets, find_targets
from lightning_fa.undisturbed import undisturbed
from lightning_fa.wiring.stores.rows import as_labels, match_targets


class SyntheticGradientMonitor(Monitor):
    r"""Compares every SG(h, y) with the gradient that backpropagation computes at h on the same batch.

    The batch passes through the model once more, with the rule suspended and the same masks and statistics. The pass leaves
    the model as it was (see :class:`~lightning_fa.callbacks.AlignmentMonitor`). A linear SG, hA + yB + C, also implies the
    loss whose gradient it would be, :math:`\hat L(h) = \tfrac12 h \tfrac{A + A^T}{2} h^T + (yB + C) h^T`.

    Logged, see :data:`lightning_fa.callbacks.NAMES`: ``sg/<block>/relative_error, angle, cosine`` and, for linear SGs,
    ``implied_loss, loss_correlation, antisymmetric_share``.

    Args:
        steps: When to measure; see :class:`~lightning_fa.callbacks.Steps`.
        targets: Where the targets are in a batch; see :func:`lightning_fa.training_step.find_targets`.

    Raises:
        MisconfigurationException: At the start of training, if the rule has no synthetic gradients, or in manual optimisation.

    References: Czarnecki et al. 2017 (arXiv 1703.00522), sections 3 and 4.
    """

    def __init__(self, steps: Steps = 100, *, targets: Targets = None) -> None:
        super().__init__(steps, targets=targets)
        self.targets = targets

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        attached = find_attached(trainer, pl_module)
        if attached is None or attached.rule.hears != "the block above":
            rule = "backpropagation" if attached is None else type(attached.rule).__name__
            raise MisconfigurationException(
                f"SyntheticGradientMonitor needs a rule with synthetic gradients, such as 'sg' or 'sgprop', but got {rule}."
            )
        if not pl_module.automatic_optimization:
            raise MisconfigurationException(
                "SyntheticGradientMonitor calls `training_step` once more, but in manual optimisation every call trains. Use "
                "automatic optimisation."
            )

    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        attached = find_attached(trainer, module)
        assert attached is not None
        blocks, targets = attached.blocks, find_targets(batch, self.targets)
        with attached.suspended(), undisturbed(module):
            seen = run(trainer, module, blocks, batch, batch_index, governed=False)
        if seen is None:
            return
        sums = Sums("sg/")
        for block in blocks[:-1]:
            if block.name in seen.signals:
                _judge(sums, attached, block.name, seen, targets, blocks[-1].name)
        self.latest = sums.reduced(trainer, module)
        send_numbers(trainer, self.latest)


def _judge(sums: Sums, attached: Attached, name: str, seen: Pass, targets: Tensor, head: str) -> None:
    h = seen.outputs[name]
    predicted = attached.predict(name, h, targets)
    if predicted is None:
        return
    theta = {key.rpartition(".")[2]: b.detach() for key, b in attached.feedback.items() if key.startswith(f"{name}.")}
    outputs = attached.rule.outputs(theta)  # type: ignore[attr-defined]  # `on_train_start` has checked the rule
    n = len(h) * (share(known_rows(targets, outputs), torch.float32) if attached.needs_targets else 1)
    synthetic, true = predicted / n, seen.signals[name]
    error = relative_error(synthetic, true).item()
    sums.fixed(name, "relative_error", h, lambda _: error)
    sums.directions(name, "", synthetic, true)
    linear = getattr(attached.rule, "predictor", None) == "linear" and "A" in theta
    if linear and h.ndim == 2 and seen.outputs[head].ndim == 2:
        _imply(sums, attached, name, theta, h, seen.outputs[head], targets)


def _imply(
    sums: Sums, attached: Attached, name: str, theta: dict[str, Tensor], h: Tensor, output: Tensor, targets: Tensor
) -> None:
    constant = theta["C"].expand(len(h), -1)
    if "B" in theta:
        constant = constant + as_labels(targets, len(h), 1, len(theta["B"]))[0].to(constant) @ theta["B"]
    y = match_targets(targets, len(h))
    counts = known(y) if y.ndim == 1 else known(y).all(dim=1)
    implied = implied_loss(h, theta["A"], constant)
    implied = implied[counts.to(implied.device)]
    true = _losses(output[counts.to(output.device)], y[counts])
    correlation = (
        torch.corrcoef(torch.stack([implied, true.to(implied)]))[0, 1].item() if len(true) > 1 else float("nan")
    )
    for quantity, value in (
        ("implied_loss", implied.mean().item()),
        ("loss_correlation", correlation),
        ("antisymmetric_share", antisymmetric_share(theta["A"]).item()),
    ):
        sums.fixed(name, quantity, h, lambda _, value=value: value)  # type: ignore[misc]


def _losses(output: Tensor, y: Tensor) -> Tensor:
    if y.ndim == 1 and not y.is_floating_point():
        output = double(output)
        return cross_entropy(output, y.to(output.device), reduction="none")
    return double(output - y).square().sum(dim=1) / 2
