"""Networks and training steps that are timed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa

Step = Callable[[], Any]


class Case(NamedTuple):
    """A network and a batch."""

    name: str
    net: Callable[[], nn.Module]
    shape: tuple[int, ...]
    """The shape of a sample."""
    batch: int = 128
    blocks: Sequence[str] | None = None

    def build(self) -> tuple[nn.Module, Tensor, Tensor]:
        torch.manual_seed(0)
        return self.net(), torch.randn(self.batch, *self.shape), torch.randint(10, (self.batch,))


def mlp(spec: str, batch: int = 128) -> Case:
    """A tanh MLP. ``784-800x3-10`` means inputs, width x number of hidden layers, outputs."""
    first, hidden, outputs = spec.split("-")
    width, depth = (int(part) for part in hidden.split("x"))
    sizes = [int(first), *[width] * depth]

    def net() -> nn.Module:
        layers = [m for i, o in itertools.pairwise(sizes) for m in (nn.Linear(i, o), nn.Tanh())]
        return nn.Sequential(*layers, nn.Linear(width, int(outputs)))

    return Case(spec, net, (int(first),), batch)


def small_conv(channels: int, size: int) -> Case:
    def net() -> nn.Module:
        c = channels
        return nn.Sequential(
            *(nn.Conv2d(3, c, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
            *(nn.Conv2d(c, 2 * c, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
            *(nn.Conv2d(2 * c, 2 * c, 3, padding=1), nn.Tanh(), nn.Flatten()),
            nn.Linear(2 * c * (size // 4) ** 2, 10),
        )

    return Case("small conv net", net, (3, size, size), 64)


def resnet18(size: int, batch: int) -> Case:
    def net() -> nn.Module:
        from torchvision.models import resnet18

        return resnet18(weights=None, num_classes=10)

    return Case("resnet18 by blocks", net, (3, size, size), batch, ("conv1", "layer*.*", "fc"))


def criterion(rule: str | None, logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy. For kickback it is the squared error, because the errors of cross-entropy sum to zero."""
    if rule == "kickback":
        return F.mse_loss(logits, F.one_hot(y, logits.shape[1]).to(logits.dtype))
    return F.cross_entropy(logits, y)


def stepper(case: Case, rule: str | None, *, keep: bool = False, compiled: bool = False) -> Step:
    """A function that runs the forward pass, the backward pass and SGD.

    Args:
        case: The network and the batch.
        rule: The rule, or ``None`` for PyTorch alone.
        keep: Whether a rule that computes gradients in the forward pass keeps its graphs for ``backward()``.
        compiled: Whether the network is compiled.
    """
    net, x, y = case.build()
    return step_of(net, x, y, case, rule, keep, compiled)


def biotorch(case: Case, rule: str) -> Step | None:
    """Like :func:`stepper`, with BioTorch's layers in place of ``nn.Linear``; ``None`` if BioTorch is not installed."""
    try:
        layers = import_module(f"biotorch.layers.{rule}")
    except ImportError:
        return None
    net, x, y = case.build()
    for name, linear in list(net.named_modules()):
        if isinstance(linear, nn.Linear):
            net.set_submodule(name, layers.Linear(linear.in_features, linear.out_features))
    return step_of(net, x, y, case)


def step_of(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    case: Case,
    rule: str | None = None,
    keep: bool = False,
    compiled: bool = False,
) -> Step:
    attached = None if rule is None else fa.attach(net, rule, blocks=case.blocks, example=x[:2])
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    model: Any = torch.compile(net, fullgraph=True) if compiled else net

    def step() -> None:
        optimizer.zero_grad()
        if attached is not None:
            attached.targets = y
        loss = criterion(rule, model(x), y)
        (loss if attached is None else attached.loss(loss)).backward()
        optimizer.step()

    def kept() -> None:
        assert attached is not None
        with attached.graphs_kept():
            step()

    return kept if keep else step
