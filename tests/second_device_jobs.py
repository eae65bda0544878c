"""What must hold on a second device; prints ``{case: what went wrong, or nothing}`` as JSON.

    python -m tests.second_device_jobs [--without-float64]

One process for all cases: a backend cannot be registered twice.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import Accelerator
from torch import nn

import lightning_fa as fa
from lightning_fa import metrics
from lightning_fa.callbacks import AlignmentMonitor, GradientHealth, WeightNorms
from tests.cases import attach, problem_of
from tests.lightning_net import Net, batches, loader
from tests.oracles import ORACLES
from tests.problems import assert_same, gradients
from tests.second_device import NAME, Elsewhere, install

PROBLEMS = ("mlp", "cnn", "positions")


class SecondAccelerator(Accelerator):
    """What Lightning asks of a device."""

    def setup_device(self, device: torch.device) -> None: ...
    def teardown(self) -> None: ...
    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> Any:
        return devices

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [torch.device(NAME, 0)]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return NAME


def same_gradients(rule: str, name: str, device: torch.device) -> None:
    """Bitwise those of the CPU, in two steps, learned feedback included."""
    problem = problem_of(rule, name)
    here, there = problem.model(), problem.model().to(device)
    ours, theirs = attach(here, rule, problem), _attach_there(there, rule, problem, device)
    for seed in (1, 2):
        batch = problem.batch(seed=seed)
        expected = gradients(here, batch, ours)
        found = gradients(there, tuple(t.to(device) for t in batch), theirs)  # type: ignore[arg-type]
        assert all(isinstance(g, Elsewhere) for g in found.values())
        assert_same({k: g.cpu() for k, g in found.items()}, expected)


def same_checkpoints(rule: str, name: str, device: torch.device) -> None:
    """Feedback saved on one device is restored on the other, and trains there as it did."""
    problem = problem_of(rule, name)
    here, there = problem.model(), problem.model().to(device)
    ours, theirs = attach(here, rule, problem), _attach_there(there, rule, problem, device)
    batch = problem.batch()
    away = tuple(t.to(device) for t in batch)
    gradients(there, away, theirs)  # draws what is drawn late
    gradients(here, batch, ours)
    with torch.no_grad():
        for b in ours.feedback.values():
            b.mul_(1.5)
    theirs.load_state_dict(ours.state_dict())
    state = theirs.state_dict()
    assert all(b.device.type == "cpu" for b in state["feedback"].values())
    assert_same(state["feedback"], ours.state_dict()["feedback"])
    fresh = problem.model()
    back = attach(fresh, rule, problem)
    back.load_state_dict(state)
    fresh.load_state_dict(here.state_dict())
    there.load_state_dict(here.state_dict())
    assert_same(
        {k: g.cpu() for k, g in gradients(there, away, theirs).items()},  # type: ignore[arg-type]
        gradients(fresh, batch, back),
    )


def same_run(rule: str, device: torch.device) -> None:
    """Under Lightning with monitors: the same weights, and numbers of the same names."""
    results = []
    for where, accelerator in (("cpu", "cpu"), (device, SecondAccelerator())):
        module = Net()
        monitors = [AlignmentMonitor(2, figures=False), GradientHealth(2), WeightNorms(2)]
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        strategy = fa.FeedbackStrategy(rule, device=where)
        trainer = Trainer(
            accelerator=accelerator, devices=1, strategy=strategy, callbacks=monitors, max_epochs=1, **off
        )
        trainer.fit(module, loader(batches()))
        weights = {name: w.cpu() for name, w in module.state_dict().items()}
        results.append((weights, [sorted(monitor.latest) for monitor in monitors]))
    (weights, names), (others, other_names) = results
    assert_same(others, weights)
    assert names == other_names
    assert all(names)


def same_metrics(device: torch.device) -> None:
    """Metrics that live in a module on the device, and come back: the number of the CPU, bit for bit."""
    rng = torch.Generator().manual_seed(0)
    h, g, values = (torch.randn(6, width, generator=rng) for width in (4, 4, 2))
    labels = torch.tensor([0, 1, 0, 1, -100, 0])
    given: dict[str, tuple[Any, tuple[torch.Tensor, ...]]] = {
        "alignment": (metrics.Alignment, (h, g)),
        "readout": (metrics.ReadoutAccuracy, (h, values[:4], labels)),
        "probe": (lambda: metrics.RidgeProbe(4, 2, 0.1), (h, values)),
        "similarity": (metrics.RepresentationSimilarity, (h, g)),
    }
    for name, (make, batch) in given.items():
        here, there = make(), nn.ModuleList([make()]).to(device)
        here.update(*batch)
        there[0].update(*[t.to(device) for t in batch])
        for found in (there[0].compute(), there.cpu()[0].compute()):
            expected = here.compute()
            pairs = zip(found.values(), expected.values()) if isinstance(found, dict) else [(found, expected)]
            assert all(torch.equal(ours.cpu(), theirs) for ours, theirs in pairs), name


def _attach_there(model: nn.Module, rule: str, problem: Any, device: torch.device) -> fa.Attached:
    if problem.maps and ORACLES[rule].sized_by_output:
        return attach(model, rule, None, example=problem.batch(2)[0].to(device))
    return attach(model, rule)


def outcome(case: Callable[..., None], *given: Any) -> str:
    """Nothing, or the error with the line of the library that it comes from."""
    try:
        case(*given)
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "lightning_fa" in f.filename]
        where = f" at {frames[-1].filename.split('/lightning_fa/')[-1]}:{frames[-1].lineno}" if frames else ""
        return f"{type(error).__name__}: {error}{where}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-float64", action="store_true")
    device = install(doubles=not parser.parse_args().without_float64)
    torch.set_num_threads(1)
    found = {}
    for rule in fa.RULES:
        for name in PROBLEMS:
            if name not in ORACLES[rule].refuses:
                found[f"gradients {rule} {name}"] = outcome(same_gradients, rule, name, device)
        found[f"checkpoint {rule}"] = outcome(same_checkpoints, rule, "mlp", device)
    found["metrics"] = outcome(same_metrics, device)
    for rule in ("fa", "kp", "dfa", "lafs", "sg"):
        found[f"trainer {rule}"] = outcome(same_run, rule, device)
    print(json.dumps(found), flush=True)
    sys.stdout.flush()
    os._exit(0)  # PyTorch's threads for a device in Python do not always end


if __name__ == "__main__":
    main()
