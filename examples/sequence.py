"""How do I train a sequence model? A transformer that reads a digit row by row.

    python examples/sequence.py

Every encoder layer is a block. The classifier averages over positions. At each position of a block's output, the error is
projected by separate rows of B.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa  # noqa: F401  (registers the names of the rules)


class RowReader(LightningModule):
    def __init__(self, width: int = 32, lr: float = 2e-3) -> None:
        super().__init__()
        self.lr = lr
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(torch.randn(8, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(width, 10)
        self.example_input_array = torch.zeros(2, 8, 8)

    def forward(self, rows):
        """`rows`: (samples, 8 positions, 8 pixels)."""
        return self.head(self.encoder(self.embed(rows) + self.position).mean(1))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test/accuracy", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def main(rule: str = "dfa", epochs: int = 10) -> float:
    seed_everything(0)
    digits = load_digits()
    x, y = torch.from_numpy(digits.images).float().div(16), torch.from_numpy(digits.target).long()
    train = DataLoader(TensorDataset(x[:1500], y[:1500]), batch_size=50, shuffle=True)
    test = DataLoader(TensorDataset(x[1500:], y[1500:]), batch_size=297)
    trainer = Trainer(strategy=rule, max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False)
    module = RowReader()
    trainer.fit(module, train)
    print(trainer.strategy.attached)
    return trainer.test(module, test, verbose=False)[0]["test/accuracy"]


if __name__ == "__main__":
    print({rule: round(main(rule), 3) for rule in ("shallow", "dfa")})
