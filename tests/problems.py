"""The networks on which every rule is tested, and the few lines that compute gradients and compare them."""

from collections.abc import Callable
from dataclasses import dataclass

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


def positions(norm: type[nn.Module] = nn.LayerNorm) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.GELU(), norm(16), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 4))


@dataclass(frozen=True)
class Problem:
    """``x`` and ``y`` are shapes without the batch; ``blocks`` are expected from automatic choice, the head last."""

    build: Callable[[], nn.Module]
    x: tuple[int, ...]
    y: tuple[int, ...]
    outputs: int
    blocks: tuple[str, ...]
    maps: bool = False
    """Whether blocks return feature maps, whose size no layer tells."""
    values: bool = False
    """Whether targets are values, one per output, and no classes."""

    def model(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """The same network at every call, whatever the global RNG, which is left alone."""
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return self.build().to(dtype)

    def batch(self, size: int = 8, seed: int = 1, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        x = torch.randn(size, *self.x, generator=rng)
        y = torch.randint(self.outputs, (size, *self.y), generator=rng)
        return x.to(dtype), F.one_hot(y, self.outputs).float() if self.values else y

    def hidden(self, gradients: Gradients) -> Gradients:
        """Of the network's own parameters below the head."""
        return {name: g for name, g in own(gradients).items() if not name.startswith(self.blocks[-1] + ".")}

    def head(self, gradients: Gradients) -> Gradients:
        """Of the head's own parameters."""
        return {name: g for name, g in own(gradients).items() if name.startswith(self.blocks[-1] + ".")}


PROBLEMS = {
    "mlp": Problem(mlp, (10,), (), 5, ("0", "2", "4")),
    "cnn": Problem(cnn, (3, 8, 8), (), 5, ("0", "4", "9"), maps=True),
    "residual": Problem(Residual, (3, 6, 6), (), 4, ("stem", "units.0", "units.1", "head"), maps=True),
    "positions": Problem(positions, (5, 6), (5,), 4, ("0", "3", "5")),
}


def criterion(output: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy, of classes or of values."""
    if y.is_floating_point():
        return F.binary_cross_entropy_with_logits(output, y.to(output.dtype))
    return F.cross_entropy(output.flatten(0, -2), y.flatten())


def forward(model: nn.Module, batch: tuple[Tensor, Tensor], attached: fa.Attached | None = None) -> Tensor:
    """The loss, as a user of :func:`lightning_fa.attach` computes it.

    Dropout masks, and what a rule draws in a forward pass, are the same at every call.
    """
    x, y = batch
    torch.manual_seed(3)
    if attached is None:
        return criterion(model(x), y)
    rewind(attached)
    attached.targets = y
    return attached.loss(criterion(model(x), y))


def rewind(attached: fa.Attached) -> None:
    """Set the streams of a rule that draws in every forward pass back to their first step."""
    state = attached.state_dict()
    streams = {name: b for name, b in state["feedback"].items() if name.endswith(".stream")}
    for stream in streams.values():
        stream[-1] = 0
    attached.load_state_dict({**state, "feedback": streams})


def read(model: nn.Module) -> Gradients:
    """Gradients of all parameters that have one, learned feedback among them."""
    grads = {name: p.grad for name, p in model.named_parameters()}
    return {name: grad.clone() for name, grad in grads.items() if grad is not None}


def own(tensors: Gradients) -> Gradients:
    """Those of the network itself; learned feedback is a parameter, but none of the model's."""
    return {name: t for name, t in tensors.items() if not name.rpartition(".")[2].startswith("_feedback")}


def lessons(tensors: Gradients) -> Gradients:
    """Those of learned feedback."""
    return {name: t for name, t in tensors.items() if name not in own(tensors)}


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


def assert_close(ours: Gradients, expected: Gradients, eps: float, rounds: float = 64) -> None:
    """Equal but for the order of sums: ``|a - b| <= rounds * eps * |b|`` in the norm of each tensor."""
    assert ours.keys() == expected.keys()
    for name in expected:
        assert distance(ours[name], expected[name]) <= rounds * eps, name


def distance(ours: Tensor, expected: Tensor) -> float:
    """Relative distance in the Euclidean norm."""
    ours, expected = ours.double(), expected.double()
    return ((ours - expected).norm() / expected.norm()).item()
