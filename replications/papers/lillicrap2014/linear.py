"""Task 1: a linear network learns a linear function online, in many independent copies at once.

Notation, with a leading dimension of copies in every tensor: T [o, i] the target function, x [i] an example, y* = T x,
A [h, i] and W [o, h] the weights, B [h, o] the feedback, h = A x, y = W h, e = y* - y (the negative of the library's e).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_fa.metrics import angles
from replications.papers.lillicrap2014.settings import Linear

Signal = Callable[["Network", Tensor, Tensor], Tensor]


@dataclass
class Task:
    """T [copies, o, i] and the examples in their order: x [copies, examples, i], y [copies, examples, o]."""

    T: Tensor
    x: Tensor
    y: Tensor


@dataclass
class Network:
    """A, W and B of all copies. The noise of node perturbation is the same in all copies."""

    A: Tensor
    W: Tensor
    B: Tensor
    noise: float = 0.01
    rng: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))


def draw(seed: int, settings: Linear) -> tuple[Task, Network]:
    """The task and the network of one seed, which do not depend on other seeds. `omega` only scales A and W."""
    rng = torch.Generator().manual_seed(seed)
    (i, h, o), omega, beta, examples = settings.sizes, settings.omega, settings.beta, settings.examples

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(1, *shape, generator=rng, dtype=torch.float64) - 1

    T, A, W, B = uniform(o, i), omega * uniform(h, i), omega * uniform(o, h), beta * uniform(h, o)
    x = torch.randn(1, examples, i, generator=rng, dtype=torch.float64)
    return Task(T, x, x @ T.mT), Network(A, W, B, settings.noise)


def stack(seeds: Sequence[int], settings: Linear) -> tuple[Task, Network]:
    """The copies of all seeds in one batch."""
    tasks, networks = zip(*(draw(seed, settings) for seed in seeds), strict=True)
    task = Task(*(torch.cat([getattr(each, name) for each in tasks]) for name in ("T", "x", "y")))
    weights = (torch.cat([getattr(each, name) for each in networks]) for name in ("A", "W", "B"))
    return task, Network(*weights, settings.noise)


def times(M: Tensor, v: Tensor) -> Tensor:
    """Matrix times vector in every copy."""
    return (M @ v.unsqueeze(-1)).squeeze(-1)


def backprop(network: Network, e: Tensor, h: Tensor) -> Tensor:
    """W^T e, the signal of backpropagation."""
    return times(network.W.mT, e)


def feedback_alignment(network: Network, e: Tensor, h: Tensor) -> Tensor:
    """B e, the signal of feedback alignment."""
    return times(network.B, e)


def pseudobackprop(network: Network, e: Tensor, h: Tensor) -> Tensor:
    """W^+ e, the signal of pseudobackpropagation."""
    return times(torch.linalg.pinv(network.W), e)


def matched_pseudobackprop(network: Network, e: Tensor, h: Tensor) -> Tensor:
    """The direction of W^+ e with the length of W^T e."""
    direction = pseudobackprop(network, e, h)
    length = backprop(network, e, h).norm(dim=-1, keepdim=True)
    return direction * length / direction.norm(dim=-1, keepdim=True)


def shallow(network: Network, e: Tensor, h: Tensor) -> Tensor:
    """Zero, so that A never changes."""
    return torch.zeros_like(h)


def node_perturbation(network: Network, e: Tensor, h: Tensor) -> Tensor:
    """-(L(h + noise) - L(h)) noise / variance, an estimate of W^T e that needs no feedback weights."""
    copies, width = h.shape
    noise = network.noise * torch.randn(width, generator=network.rng, dtype=h.dtype).expand(copies, width)
    perturbed = e - times(network.W, noise)
    rise = (perturbed.square().sum(dim=-1) - e.square().sum(dim=-1)) / 2
    return -rise.unsqueeze(-1) * noise / network.noise**2


SIGNALS: dict[str, Signal] = {
    "bp": backprop,
    "fa": feedback_alignment,
    "pbp": matched_pseudobackprop,
    "shallow": shallow,
    "node-perturbation": node_perturbation,
}


@dataclass
class Moment:
    """The network, e and h [copies, ...] after the forward pass of an example and before its update."""

    example: int
    network: Network
    e: Tensor
    h: Tensor

    def angle(self, one: Signal, other: Signal) -> Tensor:
        """The angle [copies] between two signals for this example."""
        return angles(one(self.network, self.e, self.h), other(self.network, self.e, self.h))


def train(task: Task, network: Network, rule: str, learning_rate: float) -> Iterator[Moment]:
    """Learn the examples one by one; `network` is changed in place."""
    signal = SIGNALS[rule]
    for example in range(task.x.shape[1]):
        x, y = task.x[:, example], task.y[:, example]
        h = times(network.A, x)
        e = y - times(network.W, h)
        yield Moment(example, network, e, h)
        dh = signal(network, e, h)  # before the update of W
        network.W.baddbmm_(e.unsqueeze(2), h.unsqueeze(1), alpha=learning_rate)
        network.A.baddbmm_(dh.unsqueeze(2), x.unsqueeze(1), alpha=learning_rate)
