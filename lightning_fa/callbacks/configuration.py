"""RuleConfig: sends the rule, its settings and the versions of a run to every logger."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_fa.callbacks.passes import check_continues, find_attached
from lightning_fa.table import governed_modules

PACKAGES = ("lightning-fa", "torch", "lightning", "torchmetrics")


class RuleConfig(Callback):
    """Logs, as hyper-parameters: the rule, its settings and feedback seed (``feedback``), blocks, versions, and ``extra``.

    It also raises an error where plain backpropagation would continue the checkpoint of a rule.

    Args:
        extra: Further entries to log, such as a commit.
    """

    def __init__(self, extra: dict[str, Any] | None = None) -> None:
        self.extra = dict(extra or {})

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        check_continues(trainer, pl_module, checkpoint)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        attached = find_attached(trainer, pl_module)
        feedback: dict[str, Any] = _without_a_name(pl_module) if attached is None else attached.config()
        blocks = feedback.pop("blocks", [])
        params = {"feedback": feedback, "blocks": list(blocks), "versions": versions(), **self.extra}
        for logger in trainer.loggers if trainer.is_global_zero else ():
            logger.log_hyperparams(params)


def _without_a_name(module: LightningModule) -> dict[str, Any]:
    layers = governed_modules(module)
    if layers:
        return {"rule": "unknown, attached by fa.attach", "layers": layers}
    return {"rule": "Backpropagation, no rule attached"}


def versions() -> dict[str, str]:
    """Versions of the library and of the packages that it is built on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
