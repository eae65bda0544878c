"""The networks that czarnecki2017 trains on MNIST. Their code does not depend on the learning rule."""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from replications.measuring.classifier import ImageClassifier

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
SMOOTHING = 0.98


def stack(inputs: int, width: int, depth: int, outputs: int, activation: str, *, norm: bool) -> nn.Sequential:
    """``hidden1, act1, norm1, ..., top``. With `norm`, batch-norm follows each activation."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    widths = [inputs] + [width] * depth
    for i, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        layers[f"hidden{i}"] = nn.Linear(fan_in, fan_out)
        layers[f"act{i}"] = ACTIVATIONS[activation]()
        if norm:
            layers[f"norm{i}"] = nn.BatchNorm1d(fan_out)
    layers["top"] = nn.Linear(widths[-1], outputs)
    return nn.Sequential(layers)


def block(layer: int) -> str:
    """The name of the block of a hidden layer, numbered from 1."""
    return f"layers.hidden{layer}"


class DeepClassifier(ImageClassifier):
    """Hidden layers of ReLU or sigmoid units, each followed by batch-norm, and a softmax."""

    def __init__(
        self, inputs: int, width: int, depth: int, outputs: int, activation: str, learning_rate: float, penalty: float
    ) -> None:
        super().__init__()
        self.depth, self.learning_rate, self.penalty = depth, learning_rate, penalty
        self.layers = stack(inputs, width, depth, outputs, activation, norm=True)
        self.running: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.flatten(1))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        loss = cross_entropy(self(x), y)
        now = loss.detach()
        self.running = now if self.running is None else SMOOTHING * self.running + (1 - SMOOTHING) * now
        self.log_dict({"train/loss": loss, "train/running_loss": self.running})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam for the network and for the SG modules. The penalty is on the network's weight matrices only."""
        weights = [layer.weight for layer in self.modules() if isinstance(layer, nn.Linear)]
        penalised = {id(weight) for weight in weights}
        others = [p for p in self.parameters() if id(p) not in penalised]
        groups = [{"params": weights, "weight_decay": self.penalty}, {"params": others}]
        return torch.optim.Adam(groups, lr=self.learning_rate, fused=self.device.type in ("cpu", "cuda"))
