"""How do I train my own LightningModule by a feedback rule, with a CNN, metrics, a schedule and checkpoints?

    python examples/own_module.py

The module is an ordinary LightningModule without any code for the rule. Only `strategy="dfa"` is new.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

import lightning_fa  # noqa: F401  (registers "dfa", "fa", "kp", ... as strategies)


class Net(LightningModule):
    def __init__(self, lr: float = 3e-3, steps: int = 240) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.Tanh()),
            nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.Tanh()),
            nn.Sequential(nn.Flatten(), nn.Linear(512, 64), nn.Tanh()),
            nn.Linear(64, 10),
        )
        self.accuracy = MulticlassAccuracy(10, average="micro")

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.accuracy(self(x), y)
        self.log("val/accuracy", self.accuracy)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams.lr, total_steps=self.hparams.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def data() -> tuple[DataLoader, DataLoader]:
    digits = load_digits()
    x = torch.from_numpy(digits.images).float().div(16).unsqueeze(1)
    y = torch.from_numpy(digits.target).long()
    return (
        DataLoader(TensorDataset(x[:1500], y[:1500]), batch_size=64, shuffle=True, drop_last=True),
        DataLoader(TensorDataset(x[1500:], y[1500:]), batch_size=297),
    )


def main(epochs: int = 10, folder: str = "runs/own_module") -> float:
    seed_everything(0)
    train, test = data()
    best = ModelCheckpoint(folder, monitor="val/accuracy", mode="max")
    trainer = Trainer(
        strategy="dfa",
        max_epochs=epochs,
        accelerator="cpu",
        gradient_clip_val=1.0,
        callbacks=[best, LearningRateMonitor()],
        default_root_dir=folder,
    )
    trainer.fit(Net(steps=epochs * len(train)), train, test)
    print(trainer.strategy.attached)  # which block receives which error
    plain = Net.load_from_checkpoint(best.best_model_path)  # the weights have their usual names
    return Trainer(accelerator="cpu", logger=False).validate(plain, test)[0]["val/accuracy"]


if __name__ == "__main__":
    print(f"test accuracy of the best checkpoint: {main():.3f}")
