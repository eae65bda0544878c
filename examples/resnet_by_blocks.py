"""How do I train a network that I did not write, such as torchvision's ResNet, block by block?

    python examples/resnet_by_blocks.py

Inside a block autograd works as usual. The rule acts between blocks. For torchvision's networks blocks are found
automatically. Here they are named, to show a coarse and a fine choice.
"""

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

import lightning_fa as fa

CHOICES = {
    "residual units": ["conv1", "layer*.*", "fc"],  # a star matches within one level: layer1.0, layer1.1, layer2.0, ...
    "stages": ["conv1", "layer*", "fc"],  # two residual units learn together, by backpropagation inside the stage
}


class ResNet(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = resnet18(weights=None, num_classes=10)
        self.example_input_array = torch.zeros(
            2, 3, 16, 16
        )  # with an example, feedback is drawn and blocks are checked before training

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test/accuracy", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def data(samples: int) -> tuple[DataLoader, DataLoader]:
    digits = load_digits()
    x = torch.from_numpy(digits.images).float().div(16).unsqueeze(1)
    x = nn.functional.interpolate(x, (16, 16)).expand(-1, 3, -1, -1)
    train = TensorDataset(x[:samples], torch.from_numpy(digits.target[:samples]))
    test = TensorDataset(x[1500:], torch.from_numpy(digits.target[1500:]))
    return DataLoader(train, batch_size=50, shuffle=True), DataLoader(test, batch_size=297)


def main(epochs: int = 3, samples: int = 1500) -> dict[str, float]:
    found = {}
    train, test = data(samples)
    for choice, blocks in CHOICES.items():
        seed_everything(0)
        strategy = fa.FeedbackStrategy("dfa", blocks=[f"net.{block}" for block in blocks])
        trainer = Trainer(strategy=strategy, max_epochs=epochs, accelerator="cpu", logger=False)
        module = ResNet()
        trainer.fit(module, train)
        print(strategy.attached.summary())
        found[choice] = trainer.test(module, test, verbose=False)[0]["test/accuracy"]
    return found


if __name__ == "__main__":
    for choice, accuracy in main().items():
        print(f"{choice:16} test accuracy {accuracy:.3f}")
