"""The networks on which every rule is tested, and the few lines that compute gradients and compare them."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa

Gradients = dict[str, Tensor]


class Unit(nn.Module):
    """A residual unit: its skip path would carry the true gradient past any cut inside it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x + self.inner(x))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.units = nn.Sequential(Unit(6), Unit(6))
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.units(torch.tanh(self.stem(x))).mean((2, 3)))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 5))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


def positions() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 4))


@dataclass(frozen=True)
class Problem:
    """``x`` and ``y`` are shapes without the batch; ``blocks`` are expected from automatic choice, the head last."""

    build: Callable[[], nn.Module]
    x: tuple[int, ...]
    y: tuple[int, ...]
    outputs: int
    blocks: tuple[str, ...]

    def model(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """The same network at every call, whatever the global RNG, which is left alone."""
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return self.build().to(dtype)

    def batch(self, size: int = 8, seed: int = 1, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        x = torch.randn(size, *self.x, generator=rng)
        return x.to(dtype), torch.randint(self.outputs, (size, *self.y), generator=rng)

    def hidden(self, gradients: Gradients) -> Gradients:
        return {name: g for name, g in gradients.items() if not name.startswith(self.blocks[-1] + ".")}


PROBLEMS = {
    "mlp": Problem(mlp, (10,), (), 5, ("0", "2", "4")),
    "cnn": Problem(cnn, (3, 8, 8), (), 5, ("0", "4", "9")),
    "residual": Problem(Residual, (3, 6, 6), (), 4, ("stem", "units.0", "units.1", "head")),
    "positions": Problem(positions, (5, 6), (5,), 4, ("0", "3", "5")),
}


def criterion(output: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, -2), y.flatten())


def seeded(rule: str) -> bool:
    return "seed" in {f.name for f in fields(fa.RULES[rule])}


def forward(model: nn.Module, batch: tuple[Tensor, Tensor], attached: fa.Attached | None = None) -> Tensor:
    """The loss, as a user of :func:`lightning_fa.attach` computes it; the dropout masks are the same at every call."""
    x, y = batch
    torch.manual_seed(3)
    if attached is None:
        return criterion(model(x), y)
    attached.targets = y
    return attached.loss(criterion(model(x), y))


def read(model: nn.Module) -> Gradients:
    """Gradients of the network's own parameters; feedback that is learned is not one of them."""
    own = {name: p.grad for name, p in model.named_parameters() if not name.endswith("_feedback")}
    return {name: grad.clone() for name, grad in own.items() if grad is not None}


def gradients(
    model: nn.Module, batch: tuple[Tensor, Tensor], attached: fa.Attached | None = None, c: float = 1.0
) -> Gradients:
    model.zero_grad()
    (c * forward(model, batch, attached)).backward()
    return read(model)


def assert_same(ours: Gradients, expected: Gradients) -> None:
    """Bitwise."""
    assert ours.keys() == expected.keys()
    for name in expected:
        assert torch.equal(ours[name], expected[name]), name


def assert_close(ours: Gradients, expected: Gradients, eps: float, rounds: int = 64) -> None:
    """Equal but for the order of sums: ``|a - b| <= rounds * eps * |b|`` in the norm of each tensor."""
    assert ours.keys() == expected.keys()
    for name in expected:
        assert distance(ours[name], expected[name]) <= rounds * eps, name


def distance(ours: Tensor, expected: Tensor) -> float:
    """Relative distance in the Euclidean norm."""
    ours, expected = ours.double(), expected.double()
    return ((ours - expected).norm() / expected.norm()).item()
