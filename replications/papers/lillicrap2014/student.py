"""Task 3: a student of several layers learns a nonlinear teacher online, in one copy per seed at once.

Notation: W[l] [copies, n_l, n_l-1] and b[l] [copies, n_l, 1] lead to layer l = 1..k, B[l] [copies, n_l-1, n_l] leads back
from it; hidden units are tanh, outputs linear; e = y* - y, so that updates are +eta.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass
class Student:
    """The weights of all copies; index 0 of each list leads to the first hidden layer."""

    W: list[Tensor]
    b: list[Tensor]
    B: list[Tensor]


def draw_layers(sizes: Sequence[int], bound: float, rng: torch.Generator) -> list[Tensor]:
    """Weights [1, n_l, n_l-1] ~ U(-bound, bound)."""
    shapes = [(1, after, before) for before, after in pairwise(sizes)]
    return [bound * (2 * torch.rand(shape, generator=rng, dtype=torch.float64) - 1) for shape in shapes]


def draw_student(seeds: Sequence[int], sizes: Sequence[int], omega: float, beta: float) -> Student:
    """W ~ U(-omega, omega), B ~ U(-beta, beta), b = 0; a seed has the same weights whatever other seeds there are."""
    drawn = []
    for seed in seeds:
        rng = torch.Generator().manual_seed(seed)
        drawn.append((draw_layers(sizes, omega, rng), draw_layers(sizes, beta, rng)))
    W = [torch.cat(layer) for layer in zip(*(each for each, _ in drawn), strict=True)]
    B = [torch.cat(layer).mT.contiguous() for layer in zip(*(each for _, each in drawn), strict=True)]
    return Student(W, [torch.zeros(*w.shape[:2], 1, dtype=w.dtype) for w in W], B)


def forward(student: Student, x: Tensor) -> list[Tensor]:
    """X [copies or 1, n_0, points] and the activations of all layers; the last is y."""
    h = [x.expand(len(student.W[0]), -1, -1)]
    for W, b in zip(student.W[:-1], student.b[:-1], strict=True):
        h.append(torch.tanh_(torch.baddbmm(b, W, h[-1])))
    return [*h, torch.baddbmm(student.b[-1], student.W[-1], h[-1])]


def errors(student: Student, h: Sequence[Tensor], e: Tensor, rule: str) -> list[Tensor | None]:
    """What reaches the pre-activations of every layer; None for layers that do not learn."""
    delta: list[Tensor | None] = [None] * len(student.W)
    delta[-1] = e
    if rule == "shallow":
        return delta
    for layer in range(len(student.W) - 1, 0, -1):
        carrier = student.W[layer].mT if rule == "bp" else student.B[layer]
        derivative = torch.addcmul(ONE, h[layer], h[layer], value=-1)
        e = torch.bmm(carrier, e).mul_(derivative)
        delta[layer - 1] = e
    return delta


ONE = torch.ones((), dtype=torch.float64)


def learn(student: Student, x: Tensor, target: Tensor, rule: str, learning_rate: float) -> None:
    """One example, x [1, n_0, 1] and target [1, n_k, 1], for all copies."""
    h = forward(student, x)
    for layer, delta in enumerate(errors(student, h, target - h[-1], rule)):
        if delta is not None:
            student.W[layer].baddbmm_(delta, h[layer].mT, alpha=learning_rate)
            student.b[layer].add_(delta, alpha=learning_rate)


def mean_error(student: Student, x: Tensor, target: Tensor) -> Tensor:
    """The mean NSE [copies] over points x [1, n_0, points]."""
    size = target.square().sum(dim=1).mean()
    return (target - forward(student, x)[-1]).square().sum(dim=1).mean(dim=-1) / size
