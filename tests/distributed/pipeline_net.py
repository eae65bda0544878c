"""The LightningModules of the pipeline's tests, written without a thought for pipelines, and how they are trained."""

import warnings
from typing import Any

import torch
import torch.nn.functional as F
import torchmetrics
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

SAMPLES, BATCH, CLASSES = 44, 8, 4
"""The last batch of an epoch is smaller."""


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(36, 12), nn.Tanh(), nn.Linear(12, 10), nn.BatchNorm1d(10), nn.ReLU(inplace=True)),
        *(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, CLASSES)),
    )


def conv() -> nn.Module:
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 6, 6)), nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)),
        *(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, CLASSES)),
    )


class Functional(nn.Module):
    """Calls functions between its blocks, adds a weight of its own, and scales its output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(36, 10), nn.Linear(10, 10)
        self.third, self.head = nn.Linear(10, 10), nn.Linear(10, CLASSES)
        self.shift, self.scale = nn.Parameter(torch.ones(10)), nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.first(x), inplace=True)
        h = torch.tanh(self.second(h) + self.shift).view(len(x), -1)
        return self.head(self.third(h).clamp(min=0)) * self.scale


class Text(nn.Module):
    """Reads a text of four letters, 36 of them.

    Args:
        tied: Whether the head scores with the embedding's own table.
    """

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(CLASSES, 6)
        self.rnn = nn.GRU(6, 6, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True)
        self.head = nn.Linear(6, CLASSES, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.rnn(self.embed((x > 0).long() + 2 * (x > 1).long()))
        return self.head(self.layer(self.norm(h)).mean(1))


class Encoder(nn.Module):
    """Blocks that draw masks inside: what stands between blocks draws none.

    Args:
        dropout: In both layers of the encoder.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        layers = (nn.TransformerEncoderLayer(6, 2, 12, dropout=dropout, batch_first=True) for _ in range(2))
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.first(x.view(len(x), 6, 6))).mean(1))


class OneForAll(nn.Module):
    """Calls the same activation, and the same dropout, behind every block."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(36, 10), nn.Linear(10, 10)
        self.third, self.head = nn.Linear(10, 10), nn.Linear(10, CLASSES)
        self.act, self.drop = nn.Tanh(), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(x)
        for layer in (self.first, self.second, self.third):
            h = self.drop(self.act(layer(h)))
        return self.head(h)


def frozen(*names: str) -> nn.Module:
    """The MLP, parts of which are not trained."""
    net = mlp()
    for name in names:
        net.get_submodule(name).requires_grad_(False)
    return net


NETS = {
    "mlp": mlp,
    "conv": conv,
    "functional": Functional,
    "text": Text,
    "tied text": lambda: Text(tied=True),
    "encoder": Encoder,
    "encoder with dropout": lambda: Encoder(0.3),
    "one for all": OneForAll,
    "one dropout for all": lambda: OneForAll(0.3),
    "log probabilities": lambda: nn.Sequential(*mlp(), nn.LogSoftmax(1)),
    "frozen entrance": lambda: frozen("0"),
    "frozen middle": lambda: frozen("2", "3"),
}


class ByHand(Callback):
    """Steps a scheduler, as in Lightning's manual optimisation, by what was logged in the epoch."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scheduler.step(trainer.callback_metrics["loss_epoch"])


class Thaw(BaseFinetuning):
    """Trains the first layers from the second epoch on."""

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        self.freeze(pl_module.net[:4])

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: torch.optim.Optimizer) -> None:
        if epoch == 1:
            warnings.filterwarnings("ignore", "The provided params to be frozen already exist")
            self.unfreeze_and_add_param_group(pl_module.net[:4], optimizer, lr=0.05)


class Learner(LightningModule):
    """Args: net: One of ``NETS``; optimizer: ``sgd`` or ``adam``; schedule: ``none``, ``step``, ``plateau`` or ``by hand``;
    dropout; mix;
    loss: ``cross_entropy`` or ``mse``; views: How often a batch is seen in a step; squash: Whether the step uses the net's
    activation once more; thaw: Whether the first layers are frozen in the first epoch; dtype.
    """

    def __init__(
        self,
        net: str = "mlp",
        optimizer: str = "adam",
        schedule: str = "none",
        dropout: float = 0.0,
        mix: bool = False,
        loss: str = "cross_entropy",
        views: int = 1,
        squash: bool = False,
        thaw: bool = False,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.net = NETS[net]().to(dtype)
        if dropout:
            self.net = nn.Sequential(*(part for layer in self.net for part in (nn.Dropout(dropout), layer)))
        self.optimizer, self.schedule, self.mix, self.loss, self.views = optimizer, schedule, mix, loss, views
        self.squash, self.thaw = squash, thaw
        self.accuracy = torchmetrics.Accuracy("multiclass", num_classes=CLASSES)
        self.example_input_array = torch.zeros(3, 36, dtype=dtype)
        self.losses: list[float] = []

    def configure_callbacks(self) -> list[Callback]:
        return [Thaw()] if self.thaw else []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def score(self, logits: Tensor, y: Tensor) -> Tensor:
        logits = self.net.act(logits) if self.squash else logits
        if self.loss == "mse":
            return F.mse_loss(logits, F.one_hot(y, CLASSES).to(logits.dtype))
        return F.cross_entropy(logits, y)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        x, y = batch
        if self.mix:
            x = x + 0.1 * x[torch.randperm(len(x))]
        loss = sum(self.score(self(x.roll(view, 1)), y) for view in range(self.views))
        self.losses.append(loss.item())
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        x, y = batch
        logits = self(x)
        self.accuracy(logits, y)
        self.log("accuracy", self.accuracy, on_epoch=True)
        self.log("val_loss", F.cross_entropy(logits, y), sync_dist=True)

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.validation_step(batch, index)

    def predict_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> Any:
        if self.optimizer == "adam":
            optimizer: Any = torch.optim.AdamW(self.parameters(), lr=1e-2)
        else:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
        if self.schedule == "step":
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]
        if self.schedule in ("plateau", "by hand"):
            least = 0.005 if self.schedule == "by hand" else 0.02
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=least)
            if self.schedule == "by hand":
                self.trainer.callbacks.append(ByHand(scheduler))
                return optimizer
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
        return optimizer


def data(dtype: torch.dtype = torch.float64) -> TensorDataset:
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(SAMPLES, 36, generator=rng, dtype=torch.float64).to(dtype)
    return TensorDataset(x, torch.randint(CLASSES, (SAMPLES,), generator=rng))


def trainer(strategy: Any, world: int, **options: Any) -> Trainer:
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    defaults = {"max_epochs": 2, "accelerator": "cpu", "devices": world}
    return Trainer(strategy=strategy, **{**dict.fromkeys(off, False), **defaults, **options})


def fit(
    strategy: Any, world: int, net: LightningModule, *, shuffle: bool = True, ckpt_path: Any = None, **options: Any
) -> Trainer:
    """Train on the samples, from a global random state that is known."""
    torch.manual_seed(3)
    run = trainer(strategy, world, **options)
    dtype = next(net.parameters()).dtype
    run.fit(net, DataLoader(data(dtype), BATCH, shuffle=shuffle), DataLoader(data(dtype), BATCH), ckpt_path=ckpt_path)
    return run
