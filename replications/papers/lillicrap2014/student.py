"""Task 3: a student of several layers learns a nonlinear teacher online, with one copy per seed in one batch.

Notation: W[l] [copies, n_l, n_l-1] and b[l] [copies, n_l, 1] lead to layer l = 1..k. B[l] [copies, n_l-1, n_l] leads from
layer l to layer l-1. Hidden units are tanh, and outputs are linear. The error is e = y* - y, so that updates are +eta.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass
class Student:
    """The weights of all copies. Index 0 of each list is the first hidden layer."""

    W: list[Tensor]
    b: list[Tensor]
    B: list[Tensor]


def draw_layers(sizes: Sequence[int], bound: float, rng: torch.Generator) -> list[Tensor]:
    """Weights [1, n_l, n_l-1] ~ U(-bound, bound)."""
    shapes = [(1, after, before) for before, after in pairwise(sizes)]
    return [bound * (2 * torch.rand(shape, generator=rng, dtype=torch.float64) - 1) for shape in shapes]


def draw_student(seeds: Sequence[int], sizes: Sequence[int], omega: float, beta: float) -> Student:
    """W ~ U(-omega, omega), B ~ U(-beta, beta), b = 0. The weights of a seed do not depend on other seeds."""
    drawn = []
    for seed in seeds:
        rng = torch.Generator().manual_seed(seed)
        drawn.append((draw_layers(sizes, omega, rng), draw_layers(sizes, beta, rng)))
    W = [torch.cat(layer) for layer in zip(*(each for each, _ in drawn), strict=True)]
    B = [torch.cat(layer).mT.contiguous() for layer in zip(*(each for _, each in drawn), strict=True)]
    return Student(W, [torch.zeros(*w.shape[:2], 1, dtype=w.dtype) for w in W], B)


def forward(student: Student, x: Tensor) -> list[Tensor]:
    """The input x [copies or 1, n_0, points] and the activations of all layers. The last is y."""
    h = [x.expand(len(student.W[0]), -1, -1)]
    for W, b in zip(student.W[:-1], student.b[:-1], strict=True):
        h.append(torch.tanh_(torch.baddbmm(b, W, h[-1])))
    return [*h, torch.baddbmm(student.b[-1], student.W[-1], h[-1])]


def errors(student: Student, h: Sequence[Tensor], e: Tensor, rule: str) -> list[Tensor | None]:
    """The error at the pre-activations of every layer; None for layers that do not learn."""
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
    """Learn one example, x [1, n_0, 1] and target [1, n_k, 1], in all copies."""
    h = forward(student, x)
    for layer, delta in enumerate(errors(student, h, target - h[-1], rule)):
        if delta is not None:
            student.W[layer].baddbmm_(delta, h[layer].mT, alpha=learning_rate)
            student.b[layer].add_(delta, alpha=learning_rate)


def mean_error(student: Student, x: Tensor, target: Tensor) -> Tensor:
    """The mean NSE [copies] over the points x [1, n_0, points]."""
    size = target.square().sum(dim=1).mean()
    return (target - forward(student, x)[-1]).square().sum(dim=1).mean(dim=-1) / size
