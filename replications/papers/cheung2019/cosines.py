"""The cosine between the weights of the two networks, which figure 3 shows."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lightning_fa.callbacks.monitor import Monitor
from lightning_fa.callbacks.schedule import Steps

PAIRINGS = ("same", "reversed")


def hidden_weights(net: nn.Module) -> list[Tensor]:
    """The square weights between hidden layers, in order from the input."""
    weights = [layer.weight.detach() for layer in net.modules() if isinstance(layer, nn.Linear)]
    return weights[1:-1]


def cosine(U: Tensor, V: Tensor) -> float:
    """The cosine between two matrices as vectors."""
    return torch.nn.functional.cosine_similarity(U.flatten().double(), V.flatten().double(), dim=0).item()


def cosines(forward_net: nn.Module, reverse_net: nn.Module, pairing: str) -> list[float]:
    """The cosine between each hidden matrix of the forward network and its partner: layer l, or layer L + 1 - l transposed."""
    W, B = hidden_weights(forward_net), hidden_weights(reverse_net)
    partners = B if pairing == "same" else [b.T for b in reversed(B)]
    return [cosine(w, b) for w, b in zip(W, partners, strict=True)]


class WeightCosines(Monitor):
    """Log cosine/<pairing>/<layer of the forward network> for both pairings, also for the pairing that is not trained."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)

    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        found = {
            f"cosine/{pairing}/{layer}": value
            for pairing in PAIRINGS
            for layer, value in enumerate(cosines(module.forward_net, module.reverse_net, pairing), start=1)
        }
        for logger in trainer.loggers:
            logger.log_metrics(found, step=trainer.global_step)
