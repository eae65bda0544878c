"""The network of task 2: MNIST, one hidden layer, logistic units throughout."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from replications.measuring.classifier import ImageClassifier


class LogisticNetwork(ImageClassifier):
    """A classifier with W ~ U(-omega, omega) and b = 0. Its code does not depend on the learning rule."""

    def __init__(
        self, inputs: int, hidden: int, outputs: int, omega: float, learning_rate: float, decay: float
    ) -> None:
        super().__init__()
        self.outputs, self.learning_rate, self.decay = outputs, learning_rate, decay
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.Sigmoid(), nn.Linear(hidden, outputs))
        for layer in (self.layers[0], self.layers[2]):
            nn.init.uniform_(layer.weight, -omega, omega)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The pre-activations of the outputs; the outputs are their logistic functions."""
        logits: Tensor = self.layers(x.flatten(1))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        target = one_hot(y, self.outputs).float()
        # the gradient at the logits is y - y*, the error of the linear case, without the derivative of the outputs
        loss = self.outputs * binary_cross_entropy_with_logits(self(x), target)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate, weight_decay=self.decay)
