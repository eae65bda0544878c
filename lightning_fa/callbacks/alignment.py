"""AlignmentMonitor: the angles between the rule's gradients and those of backpropagation."""

from __future__ import annotations

import logging
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_fa.attached import Attached
from lightning_fa.callbacks.comparisons import compare_signals, compare_updates, read_out, weight_layers
from lightning_fa.callbacks.monitor import Monitor
from lightning_fa.callbacks.passes import Loss, Pass, find_attached, run, transported
from lightning_fa.callbacks.schedule import Steps
from lightning_fa.callbacks.sending import send_figure, send_numbers, send_table
from lightning_fa.callbacks.sums import Sums
from lightning_fa.metrics import chance
from lightning_fa.rules import Pseudobackpropagation
from lightning_fa.table import governed_modules
from lightning_fa.training_step import Targets, find_targets
from lightning_fa.undisturbed import undisturbed
from lightning_fa.wiring.blocks.choice import Block

log = logging.getLogger("lightning_fa.callbacks")


class AlignmentMonitor(Monitor):
    r"""Angle and cosine, per block and per weight, between the rule's step and backpropagation's on the same batch.

    At a monitored step, before the optimiser's step, the batch passes through the model twice more: once under the rule and
    once with the rule suspended, with the same dropout masks and batch statistics. Both passes leave the model as it was, so
    that the weights of a run are bitwise the same with and without the monitor. Between monitored steps the monitor costs
    nothing.

    Logged for every block (``<block>``) and weight layer (``<layer>``), see :data:`lightning_fa.callbacks.NAMES`:

    * ``align/<block>/angle, cosine``: :math:`\delta h` of the rule and of backpropagation, per sample; mean and ``_std``;
    * ``align/<block>/pseudo_angle, pseudo_cosine``: the same for the rule and pseudobackprop :math:`W^+ e` (on request);
    * ``align/<layer>/update_angle, update_cosine``: the gradients of the layer's weight, on the connections that exist;
    * ``align/<layer>/weight_angle, weight_cosine``: W and the backward weight (transport rules);
    * ``align/<block>/error_angle``: :math:`e^i` of the readout through :math:`B^i` and :math:`e^y` (direct and local rules).
      Classes are compared by cross-entropy. Values are compared by the network's loss, if it is squared error, binary
      cross-entropy of logits or cross-entropy of probabilities. Under another loss of values the angle is not logged;
    * ``align/<block>/readout_accuracy``: the accuracy of that readout, in percent;
    * ``.../chance``: the standard deviation of the cosine of two random directions in as many dimensions.

    Args:
        steps: When to measure; see :class:`~lightning_fa.callbacks.Steps`.
        pseudobackprop: Whether to compare with :class:`~lightning_fa.Pseudobackpropagation` as well. The comparison costs a
            third pass and the pseudoinverse of every weight.
        targets: Where the targets are in a batch (see :func:`lightning_fa.training_step.find_targets`), for readouts.
        loss: ``loss(module, batch)``, called in place of ``training_step``. Needed in manual optimisation, and if
            ``training_step`` has effects outside of the module.
        figures: Whether to send a figure at the end to loggers that show images.
        batch: The batch to measure on, for example held-out samples. Default: the training batch of the monitored step. The
            module stays in the mode in which it trains.

    Raises:
        MisconfigurationException: Before training, see :class:`~lightning_fa.callbacks.monitor.Monitor`; also in manual
            optimisation without ``loss``.
    """

    def __init__(
        self,
        steps: Steps = 100,
        *,
        pseudobackprop: bool = False,
        targets: Targets = None,
        loss: Loss | None = None,
        figures: bool = True,
        batch: Any = None,
    ) -> None:
        super().__init__(steps, pseudobackprop=pseudobackprop, targets=targets, loss=loss, batch=batch)
        self.pseudobackprop = pseudobackprop
        self.batch = batch
        self.targets = targets
        self.loss = loss
        self.figures = figures
        self.history: dict[int, dict[str, float]] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not pl_module.automatic_optimization and self.loss is None:
            raise MisconfigurationException(
                "AlignmentMonitor calls `training_step` more than once per batch, but in manual optimisation every call "
                "trains. Pass `loss=`, a function of the module and the batch that returns the loss."
            )
        if find_attached(trainer, pl_module) is None:
            layers = governed_modules(pl_module)
            log.warning(
                f"AlignmentMonitor: `fa.attach` has put a rule into {', '.join(layers)}, where a monitor does not find it. "
                "Nothing is logged. Name the rule in the strategy, or derive the module from FeedbackMixin."
                if layers
                else "AlignmentMonitor: no rule is attached, the model trains by backpropagation. Nothing is logged."
            )

    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        attached = find_attached(trainer, module)
        if attached is None:
            return
        if self.batch is not None:
            batch, batch_index = trainer.strategy.batch_to_device(self.batch), 0
        blocks, passes = attached.blocks, self._passes(trainer, module, attached, batch, batch_index)
        if passes is None:
            return
        by_rule, by_backprop, by_pseudo = passes
        sums, masks = Sums(), attached.masks
        for block in blocks[:-1]:
            compare_signals(sums, block.name, "", by_rule, by_backprop)
            compare_signals(sums, block.name, "pseudo_", by_rule, by_pseudo)
            sums.fixed(block.name, "chance", by_rule.signals.get(block.name), lambda d: chance(d[0].numel()))
        for name, layer in weight_layers(module, blocks):
            compare_updates(sums, name, layer, by_rule.updates, by_backprop.updates, masks)
        sums.add(self._feedback(attached, blocks, by_rule, batch))
        self.latest = sums.reduced(trainer, module)
        self.history[trainer.global_step] = self.latest
        send_numbers(trainer, self.latest)

    def _passes(
        self, trainer: Trainer, module: LightningModule, attached: Attached, batch: Any, batch_index: int
    ) -> tuple[Pass, Pass, Pass | None] | None:
        blocks = attached.blocks
        given = (trainer, module, blocks, batch, batch_index)
        with undisturbed(module):
            by_rule = run(*given, loss=self._governed_loss(attached))
        with attached.suspended():
            with undisturbed(module):
                by_backprop = run(*given, loss=self.loss, governed=False)
            by_pseudo = None
            if self.pseudobackprop:
                with undisturbed(module), transported(blocks, Pseudobackpropagation()):
                    by_pseudo = run(*given, loss=self.loss, governed=False)
        if by_rule is None or by_backprop is None:
            return None
        return by_rule, by_backprop, by_pseudo

    def _governed_loss(self, attached: Attached) -> Loss | None:
        own = self.loss
        if own is None:
            return None

        def loss(module: LightningModule, batch: Any) -> Tensor:
            attached.targets = find_targets(batch, self.targets) if attached.needs_targets else None
            return attached.loss(own(module, batch))

        return loss

    def _feedback(self, attached: Attached, blocks: list[Block], seen: Pass, batch: Any) -> Sums:
        sums = Sums()
        for name, carrier, weight in attached.backward_weights():
            u, v = carrier.reshape(1, -1), weight.reshape(1, -1)
            sums.directions(name, "weight_", u, v, spread=False)
            sums.fixed(name, "weight_chance", weight, lambda w: chance(w.numel()))
        if attached.rule.cuts:
            targets = self._targets(batch)
            output, error = seen.outputs[blocks[-1].name], seen.signals.get(blocks[-1].name)
            for block in blocks:
                if targets is not None and block.name in seen.outputs and block.name in attached.feedback:
                    B = attached.feedback[block.name].detach()
                    read_out(sums, block, B, seen.outputs[block.name], output, targets, error)
        return sums

    def _targets(self, batch: Any) -> Tensor | None:
        try:
            return find_targets(batch, self.targets)
        except ValueError:
            if self.targets is not None:
                raise
            return None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        rows = [[*name.removeprefix("align/").rsplit("/", 1), value] for name, value in self.latest.items()]
        if rows:
            send_table(trainer, "align/table", ["layer", "quantity", "value"], rows)
            if self.figures:
                send_figure(trainer, "align/figure", self.draw)

    def draw(self) -> Any:
        """The angles over time, one line per block (needs matplotlib)."""
        from lightning_fa.figures import alignment_over_time

        return alignment_over_time(self.curves("angle"))

    def curves(self, quantity: str) -> dict[str, dict[int, float]]:
        """``{block or layer: {step: value}}`` of one quantity, such as ``"angle"`` or ``"update_cosine"``."""
        lines: dict[str, dict[int, float]] = {}
        for step, numbers in sorted(self.history.items()):
            for name, value in numbers.items():
                layer, _, measured = name.removeprefix("align/").rpartition("/")
                if measured == quantity:
                    lines.setdefault(layer, {})[step] = value
        return lines

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "history": {step: dict(numbers) for step, numbers in self.history.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.history = {int(step): dict(numbers) for step, numbers in state_dict["history"].items()}
