"""Logged numbers of a pipeline. Only rank 0 has the true loss, so it sends its numbers to the others after every epoch.

Numbers are sent before any hook at the end of an epoch, so that all hooks decide alike, and again after the module's own hook,
which may have logged more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import Metric

HOOKS = ("on_train_epoch_end", "on_validation_epoch_end", "on_test_epoch_end")
"""Hooks of the module. Lightning calls them before any callback decides by logged numbers."""
REACHED = "epoch_end_reached"
"""The method by which Lightning's loops tell that an epoch has ended, before any hook."""


def _alone() -> bool:
    return False


class TrueMetrics:
    """Sends rank 0's numbers at the ends of epochs, and keeps the module's metrics from gathering over stages.

    Args:
        module: The module that logs.
        control: A gloo group of all ranks, or None for the group of the process.
        then: Called on all ranks when an epoch of training has ended.
    """

    def __init__(self, module: LightningModule, control: dist.ProcessGroup | None, then: Callable[[], None]) -> None:
        self.module, self.control, self.then = module, control, then
        self._hidden = {name: module.__dict__.get(name) for name in HOOKS}
        self._metrics = [(metric, metric.distributed_available_fn) for metric in _metrics(module)]
        for metric, _ in self._metrics:
            metric.distributed_available_fn = _alone
        for name in HOOKS:
            module.__dict__[name] = self._around(name, getattr(module, name))
        self._connector: Any = module.trainer._logger_connector
        self._connector.__dict__[REACHED] = self._before(self._connector.epoch_end_reached)

    def remove(self) -> None:
        """Give the module its own hooks back, and let its metrics gather again."""
        del self._connector.__dict__[REACHED]
        for name, own in self._hidden.items():
            del self.module.__dict__[name]
            if own is not None:
                self.module.__dict__[name] = own
        for metric, own in self._metrics:
            metric.distributed_available_fn = own

    def _before(self, own: Callable[[], None]) -> Callable[[], None]:
        def reached() -> None:
            self.share(self.module.trainer)
            own()

        return reached

    def _around(self, name: str, own: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(own)
        def hook() -> Any:
            out = own()
            self.share(self.module.trainer)
            if name == "on_train_epoch_end":
                self.then()
            return out

        return hook

    def share(self, trainer: Trainer) -> None:
        """Replace the numbers that this rank has logged in this epoch, and its decision to stop, by those of rank 0."""
        results = trainer._results
        if results is None:
            return
        logged = {key: result for key, result in results.items() if result.meta.on_epoch and not result.has_reset}
        true: list[Any] = [None, trainer.should_stop]
        if dist.get_rank() == 0:
            true[0] = {key: result.compute().detach().cpu() for key, result in logged.items()}
        dist.broadcast_object_list(true, 0, group=self.control)
        trainer.should_stop = true[1]
        for key, result in logged.items():
            if key in true[0]:
                result._computed = true[0][key].to(result.device)


def _metrics(module: LightningModule) -> Iterator[Metric]:
    return (part for part in module.modules() if isinstance(part, Metric))
