"""What the processes of the distributed tests do: ``python -m tests.distributed.jobs <job> <folder> <arguments>``."""

import itertools
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from lightning.pytorch import Callback, Trainer
from torch import nn
from torch.nn.parallel import distributed as ddp
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import lightning_fa as fa
from lightning_fa.sharding import unsharded, whole
from lightning_fa.surgery import strip_feedback
from tests import quick as quick
from tests.callbacks import net as callbacks_net
from tests.distributed import pipeline_jobs
from tests.distributed.divided import divided
from tests.distributed.net import BATCH, Net, OwnRule, WithSpare, divisible, fit, fit_module, samples
from tests.distributed.saving import Saving

Results = dict[str, Any]


def layerwise(rule: str | fa.Rule) -> bool:
    """Whether the rule uses what a layer holds in that layer's own forward and backward only, so that FSDP can shard
    layer by layer.
    """
    cls = fa.RULES[rule] if isinstance(rule, str) else type(rule)
    return issubclass(cls, fa.TransportRule) or not (cls.learned or cls.hears == "the block below")


def strategy(kind: str, rule: str | fa.Rule, world: int, *, layers: bool | None = None) -> Any:
    layers = layerwise(rule) if layers is None else layers
    rule = divisible(rule)
    if kind == "ddp_mixin":
        return "ddp"
    if kind in ("ddp", "ddp_accumulate", "ddp_compiled"):
        return rule + "_ddp" if isinstance(rule, str) else fa.DDPFeedbackStrategy(rule)
    if kind == "single":
        return fa.FeedbackStrategy(rule)
    if kind == "ddp_find_unused":
        return fa.DDPFeedbackStrategy(rule, find_unused_parameters=True)
    if kind == "ddp_static":
        return fa.DDPFeedbackStrategy(rule, static_graph=True)
    if kind.startswith("fsdp2"):
        return fa.ModelParallelFeedbackStrategy(
            rule, data_parallel_size=world, tensor_parallel_size=1, save_distributed_checkpoint=kind.endswith("sharded")
        )
    from torch.distributed.fsdp import MixedPrecision

    return fa.FSDPFeedbackStrategy(
        rule,
        auto_wrap_policy={nn.Linear} if layers else None,
        mixed_precision=MixedPrecision(),  # none: Lightning's would compute in 32 bits
        state_dict_type="sharded" if kind.endswith("sharded") else "full",
    )


def state(trainer: Any, net: Net) -> Results:
    """Whole weights and feedback, whatever the strategy has done to them."""
    with unsharded(trainer.strategy.model):
        weights = {n: whole(w).detach().clone() for n, w in net.state_dict().items()}
        weights = {n.replace("_fsdp_wrapped_module.", ""): w for n, w in weights.items()}
        attached = net.attached if isinstance(net, fa.FeedbackMixin) else trainer.strategy.attached
        return {"weights": strip_feedback(weights), "feedback": attached.state_dict()}


def train(folder: Path, rank: int, world: int, rules: dict[str, Sequence[str]], nodes: int = 1) -> Results:
    """Train with the rules of each kind of strategy, one after the other."""

    def one(kind: str, rule: str) -> Results:
        options = {"accumulate_grad_batches": 2} if kind.endswith("accumulate") else {}
        using = strategy(kind, rule, world)
        if kind == "ddp_mixin":
            trainer = fit_module(net := OwnRule(divisible(rule)), using, world, num_nodes=nodes)
        else:
            compiled = kind.endswith("compiled")
            trainer, net = fit(
                using, world=world, num_nodes=nodes, layers=layerwise(rule), compiled=compiled, **options
            )
        gradients = net.gradients if kind.startswith("ddp") else []  # FSDP has shards only: its weights must tell
        return {**state(trainer, net), "gradients": gradients}

    return {kind: every([kind], its, one)[kind] for kind, its in rules.items()}


def settling(folder: Path, rank: int, world: int, kinds: list[str], rules: list[str]) -> Results:
    """Train with gradients computed in the forward pass, and with graphs kept; how many reducing hooks ran."""

    def one(kind: str, rule: str) -> Results:
        options = {"accumulate_grad_batches": 4} if kind.endswith("accumulate") else {}
        results: Results = {}
        for how in ("settled", "kept"):
            counter = Settling(kept=how == "kept")
            trainer, net = fit(strategy(kind, rule, world), world=world, callbacks=[counter], **options)
            results[how] = {**state(trainer, net), "gradients": net.gradients, "settled": counter.settled}
        return results

    return every(kinds, rules, one)


class Settling(Callback):
    """Says which of two ways a rule takes, and counts the blocks that have gone the one in the forward pass."""

    def __init__(self, kept: bool) -> None:
        self.kept, self.settled = kept, 0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        wiring = trainer.strategy.attached._wiring
        wiring.step.settles = "never" if self.kept else "always"
        settler = wiring.cut.delivery.settler
        settle = settler.settle

        def counting(*args: Any, **kwargs: Any) -> Any:
            self.settled += 1
            return settle(*args, **kwargs)

        settler.settle = counting


def every(kinds: list[str], rules: Sequence[str], one: Callable[[str, str], Results]) -> Results:
    """``{kind: {rule: one(kind, rule)}}``; what fails says so, and does not keep the others from being tested."""
    results: Results = {kind: {} for kind in kinds}
    for kind, rule in itertools.product(kinds, rules):
        try:
            results[kind][rule] = one(kind, rule)
        except Exception as error:
            traceback.print_exc()
            results[kind][rule] = {"error": f"{type(error).__name__}: {error}"}
    return results


class SaveAfter(Callback):
    """Save a checkpoint when so many steps are done."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps = path, steps
        self.weights: Results = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.global_step == self.steps:
            self.weights = state(trainer, pl_module)["weights"]
            trainer.save_checkpoint(self.path)


def resume(folder: Path, rank: int, world: int, rules: dict[str, list[str]]) -> Results:
    """Three steps in one go, and one step, a checkpoint, then two more in a new Trainer; ``rules`` of each strategy."""

    def one(kind: str, rule: str) -> Results:
        path = folder / f"{kind}_{rule}.ckpt"

        def run(with_rule: Any, **options: Any) -> Results:
            using = strategy(kind, with_rule, world)
            return state(*fit(using, world=world, optimizer="adam", layers=layerwise(with_rule), **options))

        save = SaveAfter(path, 1)
        results = {"whole": run(rule, callbacks=[save]), "saved": save.weights, "resumed": run(rule, ckpt_path=path)}
        try:
            run(other_seed(rule), ckpt_path=path)
        except ValueError as error:
            results["refusal"] = str(error)
        return results

    return {kind: every([kind], its, one)[kind] for kind, its in rules.items()}


def layered(folder: Path, rank: int, world: int, kinds: list[str], rules: list[str]) -> Results:
    """Shard layer by layer under rules that cannot be; what they say."""

    def one(kind: str, rule: str) -> Results:
        fit(strategy(kind, rule, world, layers=True), world=world)
        return {}

    return every(kinds, rules, one)


def other_seed(rule: str) -> fa.Rule:
    """The same rule with another seed; another rule, where it has none."""
    cls = fa.RULES[rule]
    return cls(seed=5) if "seed" in {f.name for f in fields(cls)} else fa.DirectFeedbackAlignment()


def traffic(folder: Path, rank: int, world: int, rules: list[str]) -> Results:
    """Bytes that DDP broadcasts in the forward passes of two steps, beside those that a plain module's buffers take."""
    sent = [0]
    broadcast = dist._broadcast_coalesced

    def counting(group: Any, tensors: list[torch.Tensor], *rest: Any) -> None:
        sent[0] += sum(t.numel() * t.element_size() for t in tensors)
        broadcast(group, tensors, *rest)

    dist.init_process_group("gloo")
    ddp.dist._broadcast_coalesced = counting
    results: Results = {}
    for rule in rules:
        for buffer in (False, True):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Flatten(), nn.Linear(8, 4))
            if buffer:
                model.register_buffer("running", torch.zeros(10))
            attached = fa.attach(model, rule, example=torch.zeros(2, 6))
            replica = ddp.DistributedDataParallel(model)
            sent[0] = 0
            for _ in range(2):
                attached.targets = torch.tensor([0, 1])
                attached.loss(replica(torch.randn(2, 6)).square().sum()).backward()
            results.setdefault(rule, []).append(sent[0])
    return results


class Head(nn.Module):
    """A head that is no ``nn.Linear``: what enters it is not known before the first forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


def lazy(folder: Path, rank: int, world: int) -> Results:
    """As above, for feedback that is only drawn in the first forward pass, after DDP has listed the buffers."""
    dist.init_process_group("gloo")
    sent: list[int] = []
    broadcast = dist._broadcast_coalesced
    ddp.dist._broadcast_coalesced = lambda g, tensors, *r: sent.append(len(tensors)) or broadcast(g, tensors, *r)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(4), Head())
    attached = fa.attach(model, "dfa", blocks=["0", "2"])
    early = dict(attached.feedback)
    replica = ddp.DistributedDataParallel(model)
    sent.clear()
    for _ in range(2):
        replica(torch.randn(2, 1, 6, 6)).sum().backward()
    return {"redrawn": not early and len(attached.feedback) == 1, "sent": sent}


def unused(folder: Path, rank: int, world: int, rules: list[str]) -> Results:
    """A layer that takes no part in the loss: with find_unused_parameters training goes on, as under backprop."""
    results: Results = {}
    for rule in rules:
        torch.manual_seed(0)
        net = WithSpare()
        trainer = fit_module(net, fa.DDPFeedbackStrategy(rule, ungoverned="spare", find_unused_parameters=True), world)
        results[rule] = {"steps": trainer.global_step, **{n: p.detach().clone() for n, p in net.named_parameters()}}
    return results


def fabric(folder: Path, rank: int, world: int, rules: list[str]) -> Results:
    """Lightning Fabric with the stock DDP strategy, and a model with the rule attached by the user."""
    runner = Fabric(accelerator="cpu", devices=world, strategy="ddp")
    runner.launch()
    results: Results = {}
    for rule in rules:
        net = Net()
        attached = fa.attach(net, divisible(rule), example=net.example_input_array)
        model, optimizer = runner.setup(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
        loader = DataLoader(
            samples(), BATCH // world, sampler=DistributedSampler(samples(), world, rank, shuffle=False)
        )
        for x, y in runner.setup_dataloaders(loader, use_distributed_sampler=False):
            attached.targets = y
            optimizer.zero_grad()
            runner.backward(
                attached.loss(nn.functional.mse_loss(model(x.double()), nn.functional.one_hot(y, 4).double()))
            )
            optimizer.step()
        results[rule] = {"weights": net.state_dict(), "feedback": attached.state_dict()}
    return results


def long_run(folder: Path, rank: int, world: int, kind: str, rule: str, steps: int, pause: float) -> Results:
    """A run that may be killed at any time and goes on from the last step that it finished."""
    path = folder / "last.ckpt"
    trainer, net = fit(
        strategy(kind, rule, world),
        world=world,
        optimizer="adam",
        layers=layerwise(rule),
        steps=steps,
        callbacks=[Saving(path, lambda trainer: trainer.global_step, pause)],
        ckpt_path=path if path.exists() else None,
    )
    return state(trainer, net)


def monitored(folder: Path, rank: int, world: int, kinds: list[str], callbacks: list[str]) -> Results:
    """Train under every kind of strategy with every callback, one at a time; what the callback said, if anything."""
    from lightning_fa import callbacks as library

    pair = (torch.zeros(8, 6, dtype=torch.float64), torch.arange(8) % 4)
    arguments: dict[str, list[Any]] = {"LinearProbes": [pair], "RepresentationMonitor": [pair]}

    def one(kind: str, name: str) -> Results:
        chosen = getattr(library, name)(*arguments.get(name, []))
        trainer, _ = fit(
            strategy(kind, "sg" if name.startswith("Synthetic") else "dfa", world), world=world, callbacks=[chosen]
        )
        return {"steps": trainer.global_step}

    return every(kinds, callbacks, one)


def watched(folder: Path, rank: int, world: int) -> list[Results]:
    """Train twice, with an alignment monitor and without; the samples of all ranks are those of one."""
    return [alignment(world, monitored) for monitored in (True, False)]


def alignment(world: int, monitored: bool) -> Results:
    from lightning_fa.callbacks import AlignmentMonitor

    torch.manual_seed(0)
    module = callbacks_net.Net()
    module.net[1], module.net[3] = nn.Identity(), nn.Identity()  # batch norm and dropout differ between ranks
    monitor, dataset = AlignmentMonitor(2), TensorDataset(*callbacks_net.data()[1])
    trainer = Trainer(
        max_steps=3,
        accelerator="cpu",
        devices=world,
        strategy=fa.DDPFeedbackStrategy("lafs") if world > 1 else fa.FeedbackStrategy("lafs"),
        callbacks=[monitor] if monitored else [],
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    sampler = DistributedSampler(dataset, world, int(os.environ["RANK"]), shuffle=False)
    trainer.fit(module, DataLoader(dataset, 16 // world, sampler=sampler))
    return {"weights": dict(module.net.state_dict()), "history": dict(monitor.history)}


JOBS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (train, settling, layered, resume, traffic, lazy, unused, fabric, long_run, monitored, watched, divided)
} | pipeline_jobs.JOBS


def run(job: str, folder: str, arguments: Results) -> None:
    """Run a job on this rank, which the environment names, and write what it returns."""
    torch.set_num_threads(1)
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.save(JOBS[job](Path(folder), rank, world, **arguments), Path(folder) / f"rank{rank}.pt")


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
