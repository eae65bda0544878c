"""A LightningModule whose ``configure_model`` divides layers over ranks, by PyTorch's tensor parallelism, and its training."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.utils.data import DataLoader, Subset

import lightning_fa as fa
from lightning_fa.sharding import whole
from tests.distributed.net import BATCH, Net, divisible, fit_module, samples

PLANS = {
    "layers": {"0": ColwiseParallel, "2": RowwiseParallel},
    "units": {
        f"{unit}.{layer}": style
        for unit in "02"
        for layer, style in (("up", ColwiseParallel), ("down", RowwiseParallel))
    },
}
"""By a layer, which is a block of its own, and by the layers inside a block, whose output is whole."""


def units() -> nn.Module:
    torch.manual_seed(7)
    shapes = ((6, 8), (8, 8))
    inside = [
        # names and no numbers, because `parallelize_module` of PyTorch 2.8 takes "0.2" for "0.2" and "2"
        nn.Sequential(OrderedDict(up=nn.Linear(n, 16), tanh=nn.Tanh(), down=nn.Linear(16, m), out=nn.Tanh()))
        for n, m in shapes
    ]
    return nn.Sequential(inside[0], nn.Identity(), inside[1], nn.Identity(), nn.Linear(8, 4)).double()


class Divided(Net):
    def __init__(self, plan: str) -> None:
        super().__init__()
        self.plan = PLANS[plan]
        self.net = units() if plan == "units" else self.net

    def configure_model(self) -> None:
        if self.device_mesh is not None and self.plan:
            plan, self.plan = self.plan, {}
            styles = {name: style() for name, style in plan.items()}
            parallelize_module(self.net, self.device_mesh["tensor_parallel"], styles)
            if self.device_mesh["data_parallel"].size() > 1:
                fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

    def train_dataloader(self) -> DataLoader:
        """Ranks that share the layers have the same part of the batch."""
        mesh = None if self.device_mesh is None else self.device_mesh["data_parallel"]
        rank, parts = (0, 1) if mesh is None else (mesh.get_local_rank(), mesh.size())
        return DataLoader(Subset(samples(), range(rank, len(samples()), parts)), BATCH // parts)


def blocks(plan: str, rule: str) -> list[str] | None:
    return ["net.0", "net.2", "net.4"] if plan == "units" and not issubclass(fa.RULES[rule], fa.TransportRule) else None


def result(trainer: Trainer, net: Net) -> dict[str, Any]:
    weights = {name: whole(p).detach().clone() for name, p in net.named_parameters() if "_feedback" not in name}
    feedback: dict[str, Tensor] = trainer.strategy.attached.state_dict()["feedback"]  # type: ignore[attr-defined]
    return {"weights": weights, "feedback": feedback}


def alone(plan: str, rule: str) -> dict[str, Any]:
    """The same training in one process."""
    net = Divided(plan)
    return result(fit_module(net, fa.FeedbackStrategy(divisible(rule), blocks=blocks(plan, rule)), 1), net)


def divided(folder: Path, rank: int, world: int, rules: dict[str, list[str]], data: int = 1) -> dict[str, Any]:
    """Train under every plan and rule; what fails says so. ``data``: parts of each batch, over which FSDP2 shards as well."""
    results: dict[str, Any] = {plan: {} for plan in rules}
    for plan, its in rules.items():
        for rule in its:
            strategy = fa.ModelParallelFeedbackStrategy(
                divisible(rule), blocks=blocks(plan, rule), data_parallel_size=data, tensor_parallel_size=world // data
            )
            net = Divided(plan)
            try:
                results[plan][rule] = result(fit_module(net, strategy, world), net)
            except Exception as error:
                results[plan][rule] = {"error": f"{type(error).__name__}: {error}"}
    return results
