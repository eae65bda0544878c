"""How do I choose the rule from a YAML file or the command line?

    python examples/cli.py fit --config examples/cli.yaml
    python examples/cli.py fit --config examples/cli.yaml --trainer.strategy lafs
    python examples/cli.py fit --config examples/cli.yaml --trainer.strategy.init_args.rule.init_args.scale 2

Needs `pip install "jsonargparse[signatures]>=4.51"`. Before 4.51 the settings of a rule are not found.
"""

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa  # noqa: F401  (registers the names of the rules)


class Digits(LightningDataModule):
    def __init__(self, batch_size: int = 64) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        digits = load_digits()
        self.x = torch.from_numpy(digits.data).float().div(16)
        self.y = torch.from_numpy(digits.target).long()

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(self.x[:1500], self.y[:1500]), batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(self.x[1500:], self.y[1500:]), batch_size=297)


class MLP(LightningModule):
    def __init__(self, width: int = 128, lr: float = 3e-3) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(
            *(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()), nn.Linear(width, 10)
        )

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val/accuracy", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def main() -> LightningCLI:
    return LightningCLI(MLP, Digits, save_config_kwargs={"overwrite": True})


if __name__ == "__main__":
    main()
