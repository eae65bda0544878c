"""The LightningModule and the data of the distributed tests, in float64: N ranks and one must agree to rounding."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins import FSDPPrecision
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader, Sampler, TensorDataset

import lightning_fa as fa

STEPS, BATCH = 3, 8
"""Optimizer steps, and samples in the joined batch of each."""


def build() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def samples(steps: int = STEPS) -> TensorDataset:
    rng = torch.Generator().manual_seed(1)
    n = steps * BATCH
    return TensorDataset(torch.randn(n, 6, generator=rng), torch.randint(4, (n,), generator=rng))


class OneStep(Sampler[int]):
    """An epoch is one step, so that a run can be resumed after every step; the ranks' batches join to that of one process."""

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world, self.epoch = rank, world, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return BATCH // self.world

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.epoch * BATCH + self.rank, (self.epoch + 1) * BATCH, self.world))


class Net(LightningModule):
    """Written without a thought for feedback rules.

    ``shard``: whether ``configure_model`` shards, for FSDP2; ``layers``: and whether each layer by itself.
    """

    def __init__(self, shard: bool = False, optimizer: str = "sgd", layers: bool = True) -> None:
        super().__init__()
        self.net = build()
        self.shard = shard
        self.layers = layers
        self.optimizer = optimizer
        self.example_input_array = torch.zeros(2, 6, dtype=torch.float64)
        self.gradients: list[dict[str, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def configure_model(self) -> None:
        if not self.shard or hasattr(self.net, "unshard"):
            return
        from torch.distributed.fsdp import fully_shard

        mesh = self.device_mesh["data_parallel"]
        for module in self.net if self.layers else ():
            if isinstance(module, nn.Linear):
                fully_shard(module, mesh=mesh)
        fully_shard(self.net, mesh=mesh)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        x, y = batch
        return F.mse_loss(self(x.double()), F.one_hot(y, 4).double())  # its errors do not cancel, for Kickback's sake

    def on_before_optimizer_step(self, _: Any) -> None:
        # FSDP has no whole gradients; there the weights speak for them.
        found = {n: p.grad.clone() for n, p in self.named_parameters() if p.grad is not None}
        self.gradients.append({n: g for n, g in found.items() if type(g) is Tensor})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return torch.optim.Adam(self.parameters(), lr=1e-2)
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    def train_dataloader(self) -> DataLoader:
        world, parts = self.trainer.world_size, self.trainer.accumulate_grad_batches
        mine = OneStep(self.trainer.global_rank, world)
        return DataLoader(samples(self.trainer.max_steps), batch_size=BATCH // world // parts, sampler=mine)


def divisible(rule: str | fa.Rule) -> str | fa.Rule:
    """The rule with settings under which a batch may be divided: a loss that compares the samples of a batch with one
    another depends on who is in it, as batch normalisation does.
    """
    return fa.LocalLosses(loss="pred") if rule == "local" else rule


def alone(rule: str, parts: int = 1) -> dict[str, Any]:
    """The same training in one process, by a bare loop: nothing of Lightning's, and none of its strategies.

    Args:
        rule: The rule.
        parts: Batches that are accumulated for a step.
    """
    net = Net()
    attached = fa.attach(net, divisible(rule), example=net.example_input_array)
    optimizer, gradients = net.configure_optimizers(), []
    batches = iter(DataLoader(samples(), batch_size=BATCH // parts))
    for _ in range(STEPS):
        optimizer.zero_grad()
        for x, y in itertools.islice(batches, parts):
            attached.targets = y
            (attached.loss(net.training_step((x, y), 0)) / parts).backward()
        gradients.append({n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None})
        optimizer.step()
    return {"weights": net.state_dict(), "feedback": attached.state_dict(), "gradients": gradients}


class OwnRule(fa.FeedbackMixin, Net):
    """Names its rule itself, for a stock strategy."""

    def __init__(self, rule: str | fa.Rule) -> None:
        super().__init__()
        self.rule = rule


class WithSpare(Net):
    """Has a layer that takes no part in the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2).double()


class Untouched(FSDPPrecision):
    """No casting at all: Lightning's would make float64 float32."""

    def convert_module(self, module: nn.Module) -> nn.Module:
        return module


def fit(
    strategy: Any, *, world: int, optimizer: str = "sgd", layers: bool = True, compiled: bool = False, **options: Any
) -> tuple[Trainer, Net]:
    """Train the net under the strategy; every option the Trainer's own. ``layers``: whether FSDP2 shards layer by layer."""
    net = Net(isinstance(strategy, fa.ModelParallelFeedbackStrategy), optimizer, layers)
    run: Any = net
    if compiled:
        torch._dynamo.reset()
        counters.clear()
        if isinstance(strategy, fa.ModelParallelFeedbackStrategy):  # Lightning refuses a compiled module under it
            net.net.compile(backend="aot_eager")
        else:
            run = torch.compile(net, backend="aot_eager")
    trainer = fit_module(run, strategy, world, **options)
    assert not compiled or counters["stats"]["unique_graphs"] > 0
    return trainer, net


def fit_module(
    net: LightningModule,
    strategy: Any,
    world: int,
    *,
    num_nodes: int = 1,
    steps: int = STEPS,
    ckpt_path: Any = None,
    **options: Any,
) -> Trainer:
    trainer = Trainer(
        strategy=strategy,
        accelerator="cpu",
        devices=world // num_nodes,
        num_nodes=num_nodes,
        max_steps=steps,
        use_distributed_sampler=False,
        plugins=[Untouched("32-true")] if isinstance(strategy, fa.FSDPFeedbackStrategy) else None,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )
    trainer.fit(net, ckpt_path=ckpt_path)
    return trainer
