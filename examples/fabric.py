"""How do I use a rule in my own training loop, with Lightning Fabric?

    python examples/fabric.py

Attach the rule before the optimizer is made, because learned feedback is among the parameters, and before `fabric.setup`.
"""

import torch
from lightning.fabric import Fabric
from lightning.pytorch import seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa


def main(rule: str = "lafs", epochs: int = 10, file: str = "runs/fabric.pt") -> float:
    fabric = Fabric(accelerator="cpu", devices=1)
    seed_everything(0)
    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float().div(16), torch.from_numpy(digits.target).long()
    loader = fabric.setup_dataloaders(DataLoader(TensorDataset(x[:1500], y[:1500]), batch_size=64, shuffle=True))

    net = nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 10))
    attached = fa.attach(net, rule, example=x[:2])
    # After `attach`, because learned feedback is among the parameters.
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    model, optimizer = fabric.setup(net, optimizer)

    for _ in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            attached.targets = targets  # for rules that need targets; other rules ignore them
            loss = attached.loss(nn.functional.cross_entropy(model(inputs), targets))
            fabric.backward(loss)
            optimizer.step()

    fabric.save(file, {"model": model, "optimizer": optimizer, "feedback": attached.state_dict()})
    attached.load_state_dict(fabric.load(file)["feedback"])  # to continue; another rule is an error
    attached.detach()
    with torch.no_grad():
        return (net(x[1500:]).argmax(1) == y[1500:]).float().mean().item()


if __name__ == "__main__":
    print(f"test accuracy {main():.3f}")
