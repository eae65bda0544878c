"""docs/assets/<callback>.svg: the figures of the callbacks, from one short training on scikit-learn's digits.

    python -m docs.pages.figures

The figures are illustrations and not results, and no test checks them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor, LinearProbes, RepresentationMonitor, WeightNorms
from lightning_fa.figures import save

ASSETS = Path(__file__).parents[1] / "assets"


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(64, 128), nn.Tanh()]
        for _ in range(3):
            layers += [nn.Linear(128, 128), nn.Tanh()]
        self.net = nn.Sequential(*layers, nn.Linear(128, 10))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.2)


def main() -> None:
    seed_everything(0)
    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float() / 16, torch.from_numpy(digits.target).long()
    train, test = (x[:1500], y[:1500]), (x[1500:], y[1500:])
    callbacks = {
        "alignment": AlignmentMonitor("log"),
        "probes": LinearProbes(train, test),
        "representations": RepresentationMonitor(train, size=200),
        "weights": WeightNorms(),
    }
    trainer = Trainer(
        strategy=fa.FeedbackStrategy("dfa"),
        max_steps=1000,
        accelerator="cpu",
        callbacks=[*callbacks.values()],
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(Net(), DataLoader(TensorDataset(*train), batch_size=64, shuffle=True))
    for name, callback in callbacks.items():
        svg, png = save(callback.draw(), ASSETS / name)
        (svg if svg.stat().st_size > png.stat().st_size else png).unlink()  # keep the smaller file


if __name__ == "__main__":
    main()
