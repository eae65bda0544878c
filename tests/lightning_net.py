"""The LightningModule, the Trainer and the bare loop that the Lightning tests compare."""

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

import lightning_fa as fa
from tests.problems import PROBLEMS, criterion

MLP = PROBLEMS["mlp"]


class Net(LightningModule):
    """Knows nothing of feedback."""

    def __init__(self) -> None:
        super().__init__()
        self.net = MLP.model()
        self.losses: list[float] = []

    def loss(self, x, y):
        """Of classes, by independent outputs: the error then sums to no constant, which some rules need."""
        return criterion(self.net(x), F.one_hot(y, MLP.outputs).float())

    def training_step(self, batch, batch_idx):
        loss = self.loss(*batch)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5, momentum=0.9)


class Validated(Net):
    def validation_step(self, batch, batch_idx):
        assert not torch.is_grad_enabled()
        self.log("loss", self.loss(*batch), batch_size=len(batch[1]))

    test_step = validation_step


class OwnRule(fa.FeedbackMixin, Net):
    def __init__(self, rule) -> None:
        super().__init__()
        self.rule = rule


def under(rule: str, mixin: bool) -> tuple[LightningModule, str]:
    """A module and a strategy: the rule is named by the one or by the other."""
    return (OwnRule(rule), "auto") if mixin else (Net(), rule)


def batches(count: int = 4):
    return [MLP.batch(8, seed=seed) for seed in range(count)]


def loader(data) -> DataLoader:
    return DataLoader(data, batch_size=None)


def trainer(strategy="auto", **settings) -> Trainer:
    defaults = {"accelerator": "cpu", "devices": 1, "max_epochs": 1}
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return Trainer(**{**defaults, **dict.fromkeys(off, False), "strategy": strategy, **settings})


def fit(module: LightningModule, strategy="auto", data=None, ckpt_path=None, **settings) -> dict[str, torch.Tensor]:
    trainer(strategy, **settings).fit(module, loader(batches() if data is None else data), ckpt_path=ckpt_path)
    return weights(module)


def fit_and_save(folder, module, strategy, epochs: int = 1, ckpt_path=None, scramble: bool = False) -> str:
    """Train and return the path of the last checkpoint; ``scramble`` first overwrites the feedback, as a user may."""
    saver = ModelCheckpoint(folder)
    run = trainer(strategy, max_epochs=epochs, enable_checkpointing=True, callbacks=[saver])

    def overwrite() -> None:
        rng = torch.Generator().manual_seed(5)
        attached = module.attached if isinstance(module, fa.FeedbackMixin) else run.strategy.attached
        with torch.no_grad():
            for b in attached.feedback.values():
                b.copy_(torch.randn(b.shape, generator=rng))

    if scramble:
        module.on_train_start = overwrite
    run.fit(module, loader(batches()), ckpt_path=ckpt_path)
    return saver.best_model_path


def weights(module: LightningModule) -> dict[str, torch.Tensor]:
    return {name: w.clone() for name, w in module.state_dict().items()}


def classes(module: LightningModule) -> list[type]:
    return [type(m) for m in module.modules()]


def loop(rule, accumulate: int = 1, clip: float | None = None) -> dict[str, torch.Tensor]:
    """What the Trainer is to reproduce, in plain PyTorch."""
    module = Net()
    attached = fa.attach(module, rule)
    optimizer = module.configure_optimizers()
    for i, batch in enumerate(batches()):
        attached.targets = batch[1]
        (attached.loss(module.training_step(batch, i)) / accumulate).backward()
        if (i + 1) % accumulate == 0:
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad()
    attached.detach()
    return weights(module)
