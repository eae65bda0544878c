"""How do I fine-tune a network whose lower part stays frozen?

    python examples/fine_tuning.py

Features are trained by backpropagation on digits 0 to 4, then frozen. The layers above learn digits 5 to 9 by the rule.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa  # noqa: F401  (registers the names of the rules)


class Classifier(LightningModule):
    def __init__(self, features: nn.Module, lr: float = 3e-3) -> None:
        super().__init__()
        self.lr = lr
        self.features = features
        self.top = nn.Sequential(nn.Linear(256, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 5))
        self.example_input_array = torch.zeros(2, 1, 8, 8)

    def forward(self, x):
        return self.top(self.features(x))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test/accuracy", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=self.lr)


def data(first: int) -> tuple[DataLoader, DataLoader]:
    """Digits `first` to `first` + 4 under labels 0 to 4."""
    digits = load_digits()
    x = torch.from_numpy(digits.images).float().div(16).unsqueeze(1)
    y = torch.from_numpy(digits.target).long() - first
    chosen = (y >= 0) & (y < 5)
    x, y = x[chosen], y[chosen]
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=50, shuffle=True)
    return train, DataLoader(TensorDataset(x[700:], y[700:]), batch_size=1000)


def main(epochs: int = 10) -> dict[str, float]:
    seed_everything(0)
    features = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    settings = {"max_epochs": epochs, "accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    Trainer(**settings).fit(Classifier(features), data(0)[0])

    features.requires_grad_(False)
    before = features[0].weight.clone()
    train, test = data(5)
    module = Classifier(features)
    trainer = Trainer(strategy="dfa", **settings)
    trainer.fit(module, train)
    return {
        "test/accuracy": trainer.test(module, test, verbose=False)[0]["test/accuracy"],
        "change of the frozen weights": (features[0].weight - before).norm().item(),
    }


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name}: {value:.3f}")
