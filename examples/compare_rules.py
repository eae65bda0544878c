"""Which rule comes closest to backpropagation, and what does it learn? Angles over time, one line per rule.

    python examples/compare_rules.py        writes one figure per rule, runs/compare_rules/<rule>.svg and .png

90 degrees is chance. A rule whose angle stays at 90 degrees does not learn in the direction of the gradient.
"""

from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from lightning_fa.figures import save

RULES = ("fa", "dfa", "kp", "lafs")


class MLP(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 10)),
        )

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test/accuracy", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main(epochs: int = 10, folder: str = "runs/compare_rules") -> dict[str, dict[str, float]]:
    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float().div(16), torch.from_numpy(digits.target).long()
    train = DataLoader(TensorDataset(x[:1500], y[:1500]), batch_size=64, shuffle=True, drop_last=True)
    test = DataLoader(TensorDataset(x[1500:], y[1500:]), batch_size=297)
    Path(folder).mkdir(parents=True, exist_ok=True)
    found = {}
    for rule in RULES:
        seed_everything(0)  # the same weights and batches for every rule
        monitor = AlignmentMonitor(steps=20)
        strategy = fa.FeedbackStrategy(rule)
        trainer = Trainer(
            strategy=strategy,
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=[monitor],
            logger=False,
            enable_checkpointing=False,
        )
        module = MLP()
        trainer.fit(module, train)
        accuracy = trainer.test(module, test, verbose=False)[0]["test/accuracy"]
        angles = {name: value for name, value in monitor.latest.items() if name.endswith("/update_angle")}
        found[rule] = {"accuracy": accuracy, **angles}
        save(monitor.draw(), Path(folder, rule))  # also monitor.history: {step: {name: value}}
    return found


if __name__ == "__main__":
    for rule, numbers in main().items():
        print(f"{rule:5}", "  ".join(f"{name} {value:.2f}" for name, value in numbers.items()))
