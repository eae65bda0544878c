"""What the processes of the pipeline's tests do; run by :mod:`tests.distributed.jobs`."""

import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from tests.distributed.pipeline_net import BATCH, CLASSES, Learner, data, fit, trainer

Results = dict[str, Any]

RULES: dict[str, fa.Rule] = {
    "lafs": fa.LinearAlignedFeedback(),
    "local": fa.LocalLosses(),
    "drtp": fa.DirectRandomTargetProjection(),
    "shallow": fa.LastLayerOnly(),
}

CASES: dict[str, tuple[str, Results, Results]] = {
    "lafs": ("lafs", {}, {}),
    "lafs, sgd": ("lafs", {"optimizer": "sgd"}, {}),
    "local": ("local", {}, {}),
    "drtp": ("drtp", {"net": "functional"}, {}),
    "shallow": ("shallow", {}, {}),
    "convolutions": ("lafs", {"net": "conv"}, {}),
    "local, convolutions": ("local", {"net": "conv", "optimizer": "sgd"}, {}),
    "functions": ("lafs", {"net": "functional"}, {}),
    "in order": ("lafs", {}, {"shuffle": False}),
    "random numbers in training_step": ("lafs", {"mix": True}, {}),
    "clipping by norm": ("lafs", {"optimizer": "sgd"}, {"gradient_clip_val": 0.05}),
    "clipping by value": (
        "lafs",
        {"optimizer": "sgd"},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    ),
    "accumulation": ("lafs", {}, {"accumulate_grad_batches": 2}),
    "schedule": ("lafs", {"schedule": "step"}, {}),
    "plateau": ("lafs", {"schedule": "plateau"}, {"max_epochs": 4}),
    "float32 to float64": ("lafs", {"dtype": torch.float32}, {"precision": "64-true"}),
    "bf16-mixed": ("lafs", {"dtype": torch.float32}, {"precision": "bf16-mixed"}),
    "sanity check": ("lafs", {}, {"num_sanity_val_steps": 2, "val_check_interval": 2}),
}
"""Name -> rule, arguments of the module, options of the Trainer."""


def run_case(name: str, world: int, strategy: Callable[[fa.Rule], Any], **more: Any) -> tuple[Any, Learner]:
    rule, arguments, options = CASES[name]
    net = Learner(**arguments)
    return fit(strategy(RULES[rule]), world, net, **{**options, **more}), net


def told(run: Any, net: Learner) -> Results:
    """Whole weights, what was logged, and what the optimizer was told."""
    return {
        "weights": {name: w.clone() for name, w in net.state_dict().items()},
        "metrics": {name: value.clone() for name, value in run.callback_metrics.items()},
        "losses": list(net.losses),
        "feedback": run.strategy.attached.state_dict()["feedback"],
        "rates": [group["lr"] for group in run.optimizers[0].param_groups],
        "steps": run.global_step,
    }


class Held(Callback):
    """What a rank holds after some steps: numbers of parameters, gradients and optimizer state, in memory."""

    def __init__(self) -> None:
        self.numel: Results = {}

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        def numel(tensors: Any) -> int:
            unique = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() // t.element_size() for t in tensors}
            return sum(unique.values())

        state = trainer.optimizers[0].state
        moments = [v for values in state.values() for v in values.values() if torch.is_tensor(v) and v.ndim]
        self.numel = {
            "parameters": numel(module.net.parameters()),
            "moments": numel(moments),
        }

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.gradients = sum(p.grad.numel() for p in module.parameters() if p.grad is not None)


def pipelined(folder: Path, rank: int, world: int, names: list[str]) -> Results:
    """Train every case; what fails says so."""
    results: Results = {}
    for name in names:
        held = Held()
        try:
            run, net = run_case(name, world, fa.PipelineFeedbackStrategy, callbacks=[held])
            results[name] = {**told(run, net), "held": {**held.numel, "gradients": held.gradients}}
        except Exception as error:
            traceback.print_exc()
            results[name] = {"error": f"{type(error).__name__}: {error}"}
            break  # the others wait for this rank
    return results


JOBS: dict[str, Callable[..., Results]] = {f.__name__: f for f in (pipelined,)}
__all__ = ["AlignmentMonitor", "BATCH", "CLASSES", "DataLoader", "DistributedSampler", "EarlyStopping", "ModelCheckpoint", "data", "dist", "nn", "os", "time", "trainer"]
