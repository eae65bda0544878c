"""Two networks in one LightningModule, trained by the pair rule that a strategy is named after."""

import copy

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

import lightning_fa as fa


def net(inputs: int, outputs: int) -> nn.Sequential:
    sizes = [(inputs, 6), (6, 6), (6, 6)]
    layers = [part for size in sizes for part in (nn.Linear(*size), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(6, outputs))


class TwoTasks(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.forward_net, self.reverse_net = net(7, 4), net(5, 3)

    def training_step(self, batch, batch_idx):
        x, y, x_r, y_r = batch
        return F.cross_entropy(self.forward_net(x), y) + F.cross_entropy(self.reverse_net(x_r), y_r)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.3)


def data():
    draws = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(8, 7, generator=draws),
            torch.arange(8) % 4,
            torch.randn(8, 5, generator=draws),
            torch.arange(8) % 3,
        )
        for _ in range(3)
    ]


@pytest.mark.parametrize("strategy", ["bidirectional", "mixin"])
def test_a_pair_trains_under_the_trainer_as_in_a_bare_loop(strategy):
    """One module with two data streams is how the paper's experiment is run."""
    plain = TwoTasks()
    bare, module = copy.deepcopy(plain), copy.deepcopy(plain)
    if strategy == "mixin":
        module = type("Own", (fa.FeedbackMixin, TwoTasks), {"rule": "bidirectional"})()
        module.load_state_dict(plain.state_dict())
    fa.attach(bare, fa.BidirectionalFeedbackAlignment())
    optimizer = bare.configure_optimizers()
    for batch in data():
        optimizer.zero_grad()
        bare.training_step(batch, 0).backward()
        optimizer.step()
    trainer = Trainer(
        strategy="auto" if strategy == "mixin" else strategy,
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(data(), batch_size=None))
    for p, q, start in zip(module.parameters(), bare.parameters(), plain.parameters()):
        assert torch.equal(p, q)
        assert not torch.equal(p, start)


def test_one_network_alone_is_refused_by_name():
    """A pair rule on a single network would couple nothing."""
    with pytest.raises(ValueError, match="forward_net"):
        fa.attach(net(7, 4), "bidirectional")
