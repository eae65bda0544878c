"""The module on which callbacks are tested, and a short run of it."""

import re

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor, GradientHealth, LinearProbes, RepresentationMonitor, WeightNorms

# Kickback refuses the cross-entropy of these tests.
RULES = [rule for rule in fa.RULES if rule != "kickback"]


class Net(LightningModule):
    """All that makes "the same batch, the same mask, the same statistics" hard: dropout, batch norm, a metric, counters."""

    def __init__(self, lr=0.05):
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(
            nn.Linear(10, 16),
            nn.BatchNorm1d(16),
            nn.Tanh(),
            nn.Dropout(0.3),
            nn.Linear(16, 12),
            nn.ReLU(inplace=True),
            nn.Linear(12, 3),
        )
        self.accuracy = MulticlassAccuracy(3)
        self.calls, self.seen = 0, []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.calls += 1
        self.seen.append(batch_idx)
        logits = self(x)
        self.accuracy(logits, y)
        loss = F.cross_entropy(logits, y)
        self.log("train/loss", loss)
        self.log("train/accuracy", self.accuracy, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Governed(fa.FeedbackMixin, Net):
    rule = "dfa"


def data(n=48, seed=0, batch_size=8):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=rng)
    y = x[:, :3].argmax(1)
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True), (x, y)


def fit(tmp_path, callbacks=(), rule="dfa", steps=12, module=None, logger=True, batch_size=8, **kwargs):
    torch.manual_seed(0)
    module = Net() if module is None else module
    torch.manual_seed(1)
    if rule is not None:
        kwargs["strategy"] = fa.FeedbackStrategy(rule)
    trainer = Trainer(
        max_steps=steps,
        max_epochs=100,
        accelerator="cpu",
        logger=CSVLogger(tmp_path, name="", version="") if logger else False,
        log_every_n_steps=1,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
        **kwargs,
    )
    trainer.fit(module, data(batch_size=batch_size)[0])
    return module, trainer


def all_callbacks():
    pair = data(seed=3)[1]
    return [
        AlignmentMonitor(3, pseudobackprop=True),
        LinearProbes(pair, data(seed=4)[1], steps=3),
        RepresentationMonitor(pair, size=20, steps=3),
        WeightNorms(3),
        GradientHealth(1),
    ]


def pattern(name):
    return re.compile(re.sub(r"<\w+>", r"[\\w.]+", name) + r"\Z")


def by_hand(module, attached, batch):
    """The signals at each block's output, by a forward pass written out in full; dropout from the present RNG state."""
    x, y = batch
    net, outputs = module.net, []
    h = x
    for i, layer in enumerate(net):
        h = layer(h) if not isinstance(layer, nn.ReLU) else h.relu()
        if i in (3, 5):
            h.retain_grad()
            outputs.append(h)
    F.cross_entropy(h, y).backward()
    e = (h.softmax(1) - F.one_hot(y, 3)).detach() / len(x)
    module.zero_grad()
    return [o.grad for o in outputs], [o.detach() for o in outputs], h.detach(), e
