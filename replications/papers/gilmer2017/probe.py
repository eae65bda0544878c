"""The measurements of gilmer2017: how well errors and readouts of the hidden layers agree with those of the output.

Notation: h [samples, width] a hidden activation, B [width, outputs] its feedback matrix, y [samples] the labels,
e [samples, outputs] an error at the outputs. Angles are in degrees and accuracies in percent, both means over samples.
"""

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightning_fa.callbacks.monitor import Monitor
from lightning_fa.metrics import accuracy, angles, output_error, readout_error
from replications.papers.gilmer2017.network import TanhNetwork


class FeedbackProbe(Monitor):
    """Log error_angle, readout and backprop_angle per hidden layer, and the accuracy of the output, on fixed samples.

    fresh_error_angle and fresh_readout are the same numbers for fresh B of the same size, the mean over `fresh_draws`
    matrices that are the same at every step. They are the null, which depends on the size of the logits. AlignmentMonitor
    has no such null, and does not measure a B that the rule does not use.

    Args:
        model: the model that will be trained; a copy without a rule gives backpropagation's gradients
        x, y: the fixed samples
        steps: numbers of optimiser steps after which to measure; the end of training is added
        local_error: whether the rule delivers B^i e^i (LAFS) and not B^i e^y (DFA)
        fresh_draws, seed: the number of fresh matrices and their seed
        unused: the feedback matrices to measure with if the rule has none, as under backpropagation
    """

    def __init__(
        self,
        model: TanhNetwork,
        x: Tensor,
        y: Tensor,
        steps: Collection[int],
        *,
        local_error: bool,
        fresh_draws: int,
        seed: int,
        unused: Sequence[Tensor] = (),
    ) -> None:
        super().__init__(tuple(steps))
        self.twin, self.x, self.y = copy.deepcopy(model), x, y
        self.local_error, self.fresh_draws, self.seed, self.unused = local_error, fresh_draws, seed, unused

    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        weights = module.state_dict()
        self.twin.load_state_dict({name: weights[name] for name in self.twin.state_dict()})
        self.twin.to(module.device)
        self.x, self.y = self.x.to(module.device), self.y.to(module.device)
        feedback = list(trainer.strategy.attached.feedback.values())  # type: ignore[attr-defined]
        self.send(trainer, self.numbers(feedback or self.unused))

    @torch.enable_grad()
    def numbers(self, feedback: Sequence[Tensor]) -> dict[str, float]:
        """The numbers for the twin's present weights. `feedback` is in order of depth."""
        hidden, logits = self.twin.activations(self.x)
        true_signals = torch.autograd.grad(cross_entropy(logits, self.y, reduction="sum"), hidden)
        e_y = output_error(logits, self.y).detach()
        found = {"accuracy/top": accuracy(logits, self.y)}
        for layer, (B, h, true_signal) in enumerate(zip(feedback, hidden, true_signals, strict=True), start=1):
            h, B = h.detach(), B.detach().to(h)
            e = readout_error(h, B, self.y) if self.local_error else e_y
            found[f"backprop_angle/{layer}"] = _mean_angle(e @ B.T.to(e), true_signal)
            null = list(fresh(B, self.fresh_draws, self.seed + layer))
            for name, matrices in (("", [B]), ("fresh_", null)):
                found[f"{name}error_angle/{layer}"] = self._error_angle(h, matrices, e_y)
                found[f"{name}readout/{layer}"] = fmean(accuracy(h @ matrix, self.y) for matrix in matrices)
        return found

    def _error_angle(self, h: Tensor, matrices: Iterable[Tensor], e_y: Tensor) -> float:
        return fmean(_mean_angle(readout_error(h, matrix, self.y), e_y) for matrix in matrices)

    @staticmethod
    def send(trainer: Trainer, numbers: dict[str, float]) -> None:
        """Send `numbers` to all loggers."""
        for logger in trainer.loggers:
            logger.log_metrics(numbers, step=trainer.global_step)


def fresh(B: Tensor, draws: int, seed: int) -> Iterator[Tensor]:
    """`draws` matrices that training never used. Each is a random permutation of the entries of B."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        yield B.flatten()[torch.randperm(B.numel(), generator=generator).to(B.device)].view_as(B)


def _mean_angle(u: Tensor, v: Tensor) -> float:
    """The mean angle between the rows of `u` and `v`. Rows that are zero have no direction and are left out."""
    return angles(u, v).nanmean().item()
