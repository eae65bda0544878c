"""How do I write my own rule, and give it a name?

    python examples/own_rule.py

A rule is a frozen dataclass that defines the function which its family leaves open. This rule is direct feedback alignment
with an error that is clipped to a largest norm, for each sample by itself.
"""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from lightning_fa.feedback import draw


@final
@dataclass(frozen=True, kw_only=True)
class ClippedDirectFeedbackAlignment(fa.DirectRule):
    r"""Direct feedback alignment of the clipped error: :math:`\delta^l = (B^l e \min(1, c / \|e\|)) \odot f'(a^l)`."""

    linear: ClassVar[bool] = False  # so e comes without factors on the loss, which passes through `attached.loss`
    seed: int = 0
    clip: float = 0.5

    def initial(self, name: str, width: int, outputs: int) -> Tensor:
        return draw("uniform", 1.0, self.seed, name, (width, outputs))

    def deliver(self, e: Tensor, feedback: Tensor) -> Tensor:
        norm = e.norm(dim=1, keepdim=True).clamp_min(torch.finfo(e.dtype).tiny)
        return (e * (self.clip / len(e) / norm).clamp(max=1)) @ feedback.T


fa.register("dfa_clipped", ClippedDirectFeedbackAlignment)  # a name for `attach` and every strategy


class MLP(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(*(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 10)))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test/accuracy", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main(epochs: int = 10) -> float:
    seed_everything(0)
    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float().div(16), torch.from_numpy(digits.target).long()
    train = DataLoader(TensorDataset(x[:1500], y[:1500]), batch_size=64, shuffle=True)
    trainer = Trainer(
        strategy="dfa_clipped", max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False
    )
    module = MLP()
    trainer.fit(module, train)
    print(trainer.strategy.attached)
    return trainer.test(module, DataLoader(TensorDataset(x[1500:], y[1500:]), 297), verbose=False)[0]["test/accuracy"]


if __name__ == "__main__":
    print(f"test accuracy {main():.3f}")
