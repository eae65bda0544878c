"""Table 1 of Czarnecki et al. 2017, executed: every column's signal is that of a conspiring synthetic-gradient system.

A column says what module s = SG(h) predicts, for which target t and with which loss L_SG(t, s); the signal that h receives
is then ``share * s + alpha * dL_SG/dh``, t being a constant. p is the network's output, g the next pre-activation.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import distance

EPS = torch.finfo(torch.float64).eps
ALPHA = 0.3


class Seen(NamedTuple):
    """What the formulation may use: h and the true errors at h, at the next pre-activation and at the output, in rows."""

    h: Tensor
    y: Tensor
    at_h: Tensor
    at_g: Tensor
    at_p: Tensor
    B: dict[str, Tensor]


class Column(NamedTuple):
    rule: fa.Rule
    module: Callable[[Seen], Tensor]
    target: Callable[[Seen], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    share: float
    alpha: float


def linear(seen: Seen) -> Tensor:
    return seen.h @ seen.B["0.A"] + seen.y @ seen.B["0.B"] + seen.B["0.C"]


def square(t: Tensor, s: Tensor) -> Tensor:
    return (t - s).square().sum()


def inner(t: Tensor, s: Tensor) -> Tensor:
    return -(t * s).sum()


PROP = fa.SyntheticGradientPropagation
COLUMNS = {
    "SG": Column(fa.SyntheticGradient(at="0"), linear, lambda s: s.at_h, square, 1, 0),
    "SG+prop": Column(PROP(at="0", alpha=ALPHA), linear, lambda s: s.at_h, square, 1, ALPHA),
    "footnote 5": Column(PROP(at="0", alone=True), linear, lambda s: s.at_h, square, 0, 1),
    "Bprop": Column(fa.Backpropagation(), lambda s: s.h, lambda s: -s.at_h, inner, 0, 1),
    "DFA": Column(fa.DirectFeedbackAlignment(), lambda s: s.h @ s.B["0"], lambda s: -s.at_p, inner, 0, 1),
    "FA": Column(fa.FeedbackAlignment(), lambda s: s.h @ s.B["2"].T, lambda s: -s.at_g, inner, 0, 1),
    "Kickback": Column(fa.Kickback(), lambda s: s.h @ torch.ones(6, 4).double(), lambda s: -s.at_p, inner, 0, 1),
}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_signal_is_that_of_a_conspiring_system(column):
    """The paper's unification is a set of equalities; a rule that breaks one of them is another rule than its column."""
    model, n = network(), 8
    x, y = torch.randn(n, 7, dtype=torch.float64), torch.randn(n, 4, dtype=torch.float64)
    plain = copy.deepcopy(model)
    attached = fa.attach(model, column.rule)
    with torch.no_grad():
        for name, b in attached.feedback.items():
            if name.startswith("0."):
                b.normal_()
    attached.targets = y
    h = model[1](model[0](x))
    h.retain_grad()
    g = model[2](h)
    g.retain_grad()
    p = model[4](model[3](g))
    p.retain_grad()
    attached.loss(0.5 * (p - y).square().sum() / n).backward()

    seen_h = h.detach().requires_grad_()
    (at_h,) = torch.autograd.grad(0.5 * (plain[2:](seen_h) - y).square().sum(), seen_h)
    seen = Seen(seen_h, y, at_h, n * g.grad, n * p.grad, {k: b.detach() for k, b in attached.feedback.items()})
    s = column.module(seen)
    (slope,) = torch.autograd.grad(column.loss(column.target(seen).detach(), s), seen_h)
    signal = column.share * (s.detach() if column.share else 0) + column.alpha * slope
    assert distance(n * h.grad, signal) <= 64 * EPS
    assert (distance(signal, at_h) < 64 * EPS) == (column.rule == fa.Backpropagation())
