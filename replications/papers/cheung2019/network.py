"""The two networks of cheung2019 in one module. Each network has its own task and data."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

NETS = ("forward", "reverse")
Batch = Mapping[str, tuple[Tensor, Tensor]]


class Centre(nn.Module):
    """Subtract the mean over features, a product with P = I - 11^T/n. The backward pass is the same, because P = P^T."""

    def forward(self, z: Tensor) -> Tensor:
        return z - z.mean(dim=1, keepdim=True)


def network(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers without biases, W ~ U(-1/sqrt(fan in), 1/sqrt(fan in)), each followed by Centre and tanh but the last."""
    layers = [nn.Linear(*pair, bias=False) for pair in pairwise(widths)]
    blocks = [module for layer in layers[:-1] for module in (layer, Centre(), nn.Tanh())]
    return nn.Sequential(*blocks, layers[-1])


class TwoNetworks(LightningModule):
    """A forward and a reverse network, trained at the same time. Their code does not depend on the learning rule."""

    def __init__(self, inputs: Mapping[str, int], hidden: Sequence[int], outputs: int, learning_rate: float) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.forward_net = network([inputs["forward"], *hidden, outputs])
        self.reverse_net = network([inputs["reverse"], *hidden, outputs])

    def logits(self, net: str, x: Tensor) -> Tensor:
        """The logits of the network `net`."""
        found: Tensor = self.get_submodule(f"{net}_net")(x.flatten(1))
        return found

    def training_step(self, batch: Batch, index: int) -> Tensor:
        # the two losses share no weight, so that each network descends its own loss
        losses = {net: cross_entropy(self.logits(net, batch[net][0]), batch[net][1]) for net in NETS}
        self.log_dict({f"train/{net}_loss": loss for net, loss in losses.items()}, batch_size=len(batch["forward"][1]))
        return losses["forward"] + losses["reverse"]

    def test_step(self, batch: Batch, index: int) -> None:
        for net in NETS:
            x, y = batch[net]
            correct = (self.logits(net, x).argmax(dim=1) == y).float().mean()
            self.log(f"test/{net}_accuracy", 100 * correct, on_epoch=True, batch_size=len(y))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)
