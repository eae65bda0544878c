"""The network of gilmer2017."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from replications.measuring.classifier import ImageClassifier


class TanhNetwork(ImageClassifier):
    """A plain classifier. Its code does not depend on the learning rule."""

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, learning_rate: float) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        widths = [inputs, *hidden]
        blocks = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())]
        self.layers = nn.Sequential(*blocks, nn.Linear(widths[-1], outputs))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)

    def activations(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The hidden activations (the inputs of all linear layers but the first) and the logits."""
        h, hidden = x.flatten(1), []
        for layer in self.layers:
            h = layer(h)
            hidden += [h] if isinstance(layer, nn.Tanh) else []
        return hidden, h

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.flatten(1))
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)
