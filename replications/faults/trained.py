"""Faults that are planted in training: short runs with learning rate 0, or with a B that is permuted in every step."""

import contextlib
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import optim

from replications.data import load
from replications.experiment import fit
from replications.experiment.prepare import prepare
from replications.experiment.registry import select
from replications.faults.recorded import Runs
from replications.judging.verdicts import by_seed


class NothingTrained(Callback):
    """Sets the learning rate to 0 before every optimiser step."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: optim.Optimizer
    ) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.0


class FreshFeedback(Callback):
    """Permutes the entries of every B before every training batch."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        attached = getattr(trainer.strategy, "attached", None)
        for B in attached.feedback.values() if attached is not None else ():
            with torch.no_grad():
                B.copy_(B.flatten()[torch.randperm(B.numel())].view_as(B))


@contextlib.contextmanager
def planted(*faults: type[Callback]) -> Iterator[None]:
    """Inside the `with` block every Trainer of a replication has these callbacks."""
    original = fit.Trainer

    class Faulty(original):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, callbacks: Any = (), **kwargs: Any) -> None:
            super().__init__(*args, callbacks=[*(fault() for fault in faults), *callbacks], **kwargs)

    fit.Trainer = Faulty  # type: ignore[misc]
    try:
        yield
    finally:
        fit.Trainer = original  # type: ignore[misc]


def train(
    paper: str,
    changes: Mapping[str, Any],
    data_dir: Path | None,
    *faults: type[Callback],
    experiments: str,
) -> list[Runs]:
    """The metrics of two seeds of preset smoke, trained with these changes of settings and with the faults planted."""
    _, names = select(f"{paper}/{experiments}")
    options = Namespace(
        targets=[paper], target=f"{paper}/{','.join(names)}", preset="smoke", seeds=2, data_dir=data_dir,
        dataset=None, accelerator="cpu", devices="1", precision="32-true", wandb="off", settings=(),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as out, planted(*faults):
        options.out = Path(out)
        session = prepare(options, load)
        session.paper.run(replace(session, settings=replace(session.settings, **changes)))
        return list(by_seed(session.loop.records, session.seeds))
