"""How do I train a spiking network? Leaky integrate-and-fire neurons that see a digit for twenty time steps.

    python examples/spiking.py

The loop over time steps calls every layer once per step. Under `dfa` the spikes of each step receive that step's error through B,
and no error passes from layer to layer. Inside a layer the error goes back through time along the membrane, as written in `lif`.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa  # noqa: F401  (registers the names of the rules)


class Spike(torch.autograd.Function):
    """1 where the membrane is above the threshold. Backward uses the slope of a fast sigmoid (Zenke & Ganguli 2018)."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad / (1 + 10 * ctx.saved_tensors[0].abs()) ** 2


def lif(current, membrane):
    """A leaky membrane that fires at 1, and is then lowered by 1."""
    membrane = 0.9 * membrane + current
    spikes = Spike.apply(membrane - 1)
    return spikes, membrane - spikes.detach()


class SpikingClassifier(LightningModule):
    def __init__(self, width: int = 100, steps: int = 20, lr: float = 2e-3) -> None:
        super().__init__()
        self.steps, self.lr = steps, lr
        self.low, self.top, self.head = nn.Linear(64, width), nn.Linear(width, width), nn.Linear(width, 10)
        self.example_input_array = torch.zeros(2, 64)

    def forward(self, x):
        """The mean over time of ten membranes that never fire."""
        a, b, c, total = 0.0, 0.0, 0.0, 0.0
        for _ in range(self.steps):
            spikes, a = lif(self.low(x), a)
            spikes, b = lif(self.top(spikes), b)
            c = 0.9 * c + self.head(spikes)
            total = total + c
        return total / self.steps

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test/accuracy", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def main(rule: str = "dfa", epochs: int = 5) -> float:
    seed_everything(0)
    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float().div(16), torch.from_numpy(digits.target).long()
    train, test = TensorDataset(x[:1500], y[:1500]), TensorDataset(x[1500:], y[1500:])
    trainer = Trainer(strategy=rule, max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False)
    module = SpikingClassifier()
    trainer.fit(module, DataLoader(train, batch_size=50, shuffle=True))
    print(trainer.strategy.attached)
    return trainer.test(module, DataLoader(test, batch_size=297), verbose=False)[0]["test/accuracy"]


if __name__ == "__main__":
    print({rule: round(main(rule), 3) for rule in ("shallow", "dfa", "lafs", "bp")})
