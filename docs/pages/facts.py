"""Facts about a rule, found by attaching the rule to small networks and making one step."""

from __future__ import annotations

import json
import re
import statistics
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import lightning_fa as fa
from replications.experiment.registry import names as papers

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


class Reader(nn.Module):
    """A classifier of the last state of a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.hidden, self.head = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.gru(x)[0][:, -1])))


class Pooled(nn.Module):
    """A classifier of the mean over positions after two encoder layers."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


def dense() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(4, 6)


def convolutional() -> tuple[nn.Module, Tensor]:
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 2, 3, padding=1), nn.Tanh(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(2 * 36, 3)), torch.randn(4, 1, 6, 6)


def pooled() -> tuple[nn.Module, Tensor]:
    """A convolutional network that takes images of any size."""
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 2, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2, 3)), torch.randn(4, 1, 6, 6)


NETWORKS = {
    "Linear": dense,
    "Conv2d": convolutional,
    "GRU": lambda: (Reader(), torch.randn(4, 5, 6)),
    "TransformerEncoder": lambda: (Pooled(), torch.randn(4, 5, 8)),
}


class Needs(NamedTuple):
    """The needs of a rule."""

    targets: bool
    loss: bool
    learned: bool
    example: bool
    layers: dict[str, bool]
    one_size: bool
    """Whether the rule refuses images of another size than the first."""
    one_unit: bool
    """Whether FSDP must shard the network as one unit. `tests/distributed/test_ranks.py` tests the other rules layer by layer."""


@cache
def needs(name: str) -> Needs:
    """The needs of the rule `name` with its default settings."""
    net, x = dense()
    attached = fa.attach(net, name, example=x)
    layers = {layer: _trains(name, make, example=True) for layer, make in NETWORKS.items()}
    example = layers["Conv2d"] and not _trains(name, convolutional, example=False)
    one_size = not _trains(name, pooled, example=True, then=torch.randn(4, 1, 8, 8))
    rule = attached.rule
    one_unit = rule.hears == "the block below" or (rule.learned and not isinstance(rule, fa.TransportRule))
    return Needs(attached.needs_targets, attached.needs_loss, rule.learned, example, layers, one_size, one_unit)


def _trains(name: str, make: Any, example: bool, then: Tensor | None = None) -> bool:
    """Whether one step succeeds, on the samples of `make`, or on `then`. `example` says if attach() gets the samples."""
    net, x = make()
    y = torch.tensor([0, 1, 2, 0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attached = fa.attach(net, name, example=x if example else None)
            attached.targets = y
            output = net(x if then is None else then)
            one_hot = nn.functional.one_hot(y).float()
            logistic = nn.functional.binary_cross_entropy_with_logits  # the signal of Kickback is zero under softmax
            loss = logistic(output, one_hot) if name == "kickback" else nn.functional.cross_entropy(output, y)
            attached.loss(loss).backward()
    except (ValueError, RuntimeError, TypeError, NotImplementedError):
        return False
    return True


def accuracy(name: str) -> tuple[str, str] | None:
    """The accuracy on MNIST after two epochs, and the angles to backpropagation by layer (benchmarks/learning.py).

    The accuracy is the mean ± the sample standard deviation over :func:`seeds`.
    """
    found = json.loads((RESULTS / "learning.json").read_text())["rules"].get(name)
    if not found:
        return None
    layers = [[a for a in layer if a is not None] for layer in zip(*found["angles"])]
    turned = ", ".join(f"{statistics.mean(a):.0f}°" if a else "no gradient" for a in layers)
    return f"{statistics.mean(found['test']):.1f} ± {statistics.stdev(found['test']):.1f} %", turned


def seeds() -> int:
    """The number of seeds of :func:`accuracy`."""
    return len(json.loads((RESULTS / "learning.json").read_text())["rules"]["bp"]["test"])


def cost(name: str) -> list[tuple[str, float, float]]:
    """(network, ratio of the time, ratio of the operations) of a step to backpropagation (benchmarks/speed.py)."""
    nets = json.loads((RESULTS / "speed.json").read_text())["nets"]
    return [(net, rows[name]["time"], rows[name]["flops"]) for net, rows in nets.items() if name in rows]


def memory(name: str) -> float | None:
    """The bytes saved for backward at 50 layers, as a share of backpropagation's (benchmarks/memory.py)."""
    saved = json.loads((RESULTS / "memory.json").read_text())["bytes"]
    return saved[name]["50"]["saved"] / saved["bp"]["50"]["saved"] if name in saved and name != "bp" else None


def replicated(name: str) -> list[str]:
    """The papers whose code here contains the rule's name in quotes or its class."""
    known = fa.RULES | fa.PAIR_RULES
    wanted = re.compile(rf'"{name}"|\b{known[name].__name__}\b')  # \b excludes the end of a longer name
    sources = {paper: (ROOT / "replications" / "papers" / paper).rglob("*.py") for paper in papers()}
    return [paper for paper, files in sources.items() if any(wanted.search(file.read_text("utf-8")) for file in files)]
