"""The networks of meulemans2021: a classifier of 3 x 256 tanh units, and an autoencoder with a linear code."""

from itertools import pairwise

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from replications.papers.meulemans2021.settings import Training


class Network(LightningModule):
    """A classifier or an autoencoder, whose code does not depend on the learning rule. Batches are (x, labels) or (x, x)."""

    def __init__(self, inputs: int, outputs: int, settings: Training) -> None:
        super().__init__()
        self.settings = settings
        layers: list[nn.Module] = []
        for index, pair in enumerate(pairwise([inputs, *settings.hidden])):
            layers += [nn.Linear(*pair)] if index in settings.linear else [nn.Linear(*pair), nn.Tanh()]
        self.layers = nn.Sequential(*layers, nn.Linear(settings.hidden[-1], outputs))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))  # type: ignore[no-any-return]

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, target = batch
        return (mse_loss if target.is_floating_point() else cross_entropy)(self(x), target)

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.log("test/last", loss_in_hundredths(self(batch[0]), batch[1]), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        rate, epsilon = self.settings.learning_rate, self.settings.epsilon
        return torch.optim.Adam(self.parameters(), lr=rate, betas=(0.99, 0.99), eps=epsilon, fused=True)


def loss_in_hundredths(outputs: Tensor, target: Tensor) -> float:
    """The number that table 1 prints: the wrong answers in percent, or 100 times the mean squared error."""
    wrong = mse_loss(outputs, target) if target.is_floating_point() else (outputs.argmax(1) != target).double().mean()
    return 100 * wrong.item()
