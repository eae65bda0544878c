"""A callback that measures, at chosen steps, how errors and readouts of the hidden layers agree with the top."""

import copy
from collections.abc import Collection, Sequence
from statistics import fmean

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_fa import DDPFeedbackStrategy, FeedbackStrategy, metrics
from replications.measuring import measures


class FeedbackProbe(Callback):
    """Log, per hidden layer i, on fixed samples: error_angle, readout, backprop_angle; and the accuracy of the top.

    Beside the first two stands what a fresh B of the same size gives, fresh_error_angle and fresh_readout: the mean over
    the same few draws at every step. It is the null of the angle, which depends on the size of the logits.

    Args:
        model: a twin of the trained module, to which no rule is attached: its gradients are backpropagation's
        taps: names of the modules of the model whose inputs are the hidden activations, one for each feedback matrix
        x, y: the fixed samples
        steps: numbers of optimiser steps after which to measure; the end of training is added
        local_error: whether the rule delivers B^i e^i (LAFS) rather than B^i e^y (DFA)
        fresh_draws, seed: how many fresh matrices to compare with, and the seed of them
        unused: the feedback matrices to measure with where the rule has none, as backpropagation
    """

    def __init__(
        self,
        model: nn.Module,
        taps: Sequence[str],
        x: Tensor,
        y: Tensor,
        steps: Collection[int],
        *,
        local_error: bool,
        fresh_draws: int,
        seed: int,
        unused: Sequence[Tensor] = (),
    ) -> None:
        self.model, self.taps, self.x, self.y = copy.deepcopy(model), list(taps), x, y
        self.steps, self.local_error = frozenset(steps), local_error
        self.fresh_draws, self.seed, self.unused = fresh_draws, seed, unused
        self.last = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if 0 in self.steps:
            self._log(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        if trainer.global_step in self.steps:
            self._log(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self.last:
            self._log(trainer, pl_module)

    def _log(self, trainer: Trainer, module: LightningModule) -> None:
        self.last = trainer.global_step
        weights = module.state_dict()
        self.model.load_state_dict({name: weights[name] for name in self.model.state_dict()})
        self.model.to(module.device).eval()
        self.x, self.y = self.x.to(module.device), self.y.to(module.device)
        self._send(trainer, self.measure(list(_feedback(trainer).values()) or self.unused))

    @torch.enable_grad()
    def measure(self, feedback: Sequence[Tensor]) -> dict[str, float]:
        """The numbers of one moment, for the twin's present weights; `feedback` in order of depth, or empty."""
        hidden, logits = measures.forward(self.model, self.taps, self.x)
        true_signals = measures.backprop_signals(hidden, logits, self.y)
        e_y = metrics.output_error(logits, self.y).detach()
        numbers = {"accuracy/top": metrics.accuracy(logits, self.y)}
        for layer, (B, h, true_signal) in enumerate(zip(feedback, hidden, true_signals, strict=True), start=1):
            h, B = h.detach(), B.detach().to(h)
            e_i = metrics.readout_error(h, B, self.y)
            delivered = measures.signal(e_i if self.local_error else e_y, B)
            numbers[f"error_angle/{layer}"] = measures.mean_angle(e_i, e_y)
            numbers[f"backprop_angle/{layer}"] = measures.mean_angle(delivered, true_signal)
            numbers[f"readout/{layer}"] = metrics.accuracy(h @ B, self.y)
            null = list(measures.fresh(B, self.fresh_draws, self.seed + layer))
            angles = [measures.mean_angle(metrics.readout_error(h, other, self.y), e_y) for other in null]
            numbers[f"fresh_error_angle/{layer}"] = fmean(angles)
            numbers[f"fresh_readout/{layer}"] = fmean(metrics.accuracy(h @ other, self.y) for other in null)
        return numbers

    @staticmethod
    def _send(trainer: Trainer, numbers: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(numbers, step=trainer.global_step)


def _feedback(trainer: Trainer) -> dict[str, Tensor]:
    strategy = trainer.strategy
    assert isinstance(strategy, (FeedbackStrategy, DDPFeedbackStrategy))
    return strategy.attached.feedback
