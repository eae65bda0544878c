"""Networks whose gradients are computed in the forward pass, and the step that does it."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from tests.cases import speak

SETTLING = ["lafs", "solo", "local", "drtp", "sg"]
"""The rules whose blocks need nothing from above, or the answer of one neighbour."""
every_rule = pytest.mark.parametrize("rule", SETTLING)


def deep(depth: int, width: int = 8) -> nn.Sequential:
    """``depth`` hidden layers, the same at every call."""
    widths = [6, *[width] * depth, 3]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [m for i, o in pairwise(widths) for m in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def data(n: int = 5, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(n, 6, generator=rng).to(dtype), torch.randint(3, (n,), generator=rng)


def ready(rule: str, model: nn.Module | None = None) -> tuple[nn.Module, fa.Attached]:
    """A network in float64 whose very first pass settles, since an example has shown the shapes."""
    model = deep(3).double() if model is None else model
    attached = fa.attach(model, rule, example=torch.zeros(2, 6, dtype=next(model.parameters()).dtype))
    speak(attached)
    attached._wiring.step.settles = "always"
    return model, attached


def loss_of(model, attached, batch) -> torch.Tensor:
    attached.targets = batch[1]
    return attached.loss(F.cross_entropy(model(batch[0]), batch[1]))
