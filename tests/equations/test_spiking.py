"""Spiking networks: every time step calls all layers, whose membranes carry a state from step to step."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import distance, read

N, K, STEPS = 12, 3, 5
RULES = ["dfa", "lafs", "drtp", "fa"]


class Fire(torch.autograd.Function):
    """A spike where the membrane is above the threshold; the slope of a fast sigmoid in backward (Zenke & Ganguli 2018)."""

    @staticmethod
    def forward(ctx, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return grad / (1 + 10 * u.abs()) ** 2


class Spiking(nn.Module):
    """Three layers of leaky integrate-and-fire neurons. The output is the mean membrane of the last layer, which never fires."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.top, self.head = nn.Linear(8, 16), nn.Linear(16, 14), nn.Linear(14, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, self.low, self.top, self.head)[0]

    def run(
        self, x: Tensor, low, top, head, cut=lambda h: h
    ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """The output, and of every time step the spikes of both hidden layers and the head's output."""
        a = b = c = x.new_zeros(())
        first, second, outs, total = [], [], [], 0
        for _ in range(STEPS):
            a = 0.9 * a + low(x)
            first.append(Fire.apply(a - 1))
            a = a - first[-1]
            b = 0.9 * b + top(cut(first[-1]))
            second.append(Fire.apply(b - 1))
            b = b - second[-1]
            outs.append(head(cut(second[-1])))
            c = 0.9 * c + outs[-1]
            total = total + c
        return total / STEPS, first, second, outs


def transported(layer: nn.Linear, feedback: Tensor):
    """The layer, whose backward sends the error through ``feedback``."""

    def run(x: Tensor) -> Tensor:
        carried = x @ feedback.T
        return layer(x.detach()) + carried - carried.detach()

    return run


def by_hand(net: Spiking, x: Tensor, y: Tensor, feedback: dict[str, Tensor], rule: str) -> dict[str, Tensor]:
    if rule == "fa":
        layers = (net.low, *(transported(getattr(net, name), feedback[name]) for name in ("top", "head")))
        F.cross_entropy(net.run(x, *layers)[0], y).backward()
        return read(net)
    out, first, second, outs = net.run(x, net.low, net.top, net.head, Tensor.detach)
    assert all(0.05 < torch.stack(spikes).mean() < 0.95 for spikes in (first, second))
    loss = F.cross_entropy(out, y)
    errors = torch.autograd.grad(loss, outs, retain_graph=True)
    loss.backward(retain_graph=True)
    labels = F.one_hot(y, K).to(x.dtype)
    for spikes, B in ((first, feedback["low"]), (second, feedback["top"])):
        for h, e in zip(spikes, errors):
            if rule == "dfa":
                h.backward(e @ B.T, retain_graph=True)
            elif rule == "lafs":
                F.cross_entropy(h @ B, y).backward(retain_graph=True)
            else:
                (h * (labels @ B.T)).sum().div(N).backward(retain_graph=True)
    return read(net)


@pytest.mark.parametrize("settles", ["where it saves", "always"])
@pytest.mark.parametrize("example", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_every_time_step_receives_its_own_error(rule, example, settles):
    """The error goes back through time inside a layer, by its membrane, and never from layer to layer but through B."""
    torch.manual_seed(0)
    net, x, y = Spiking().double(), 3 * torch.randn(N, 8, dtype=torch.float64), torch.randint(K, (N,))
    plain = copy.deepcopy(net)
    attached = fa.attach(net, rule, example=x[:2] if example else None)
    attached._wiring.step.settles = settles
    attached.targets = y
    out = net(x)
    assert torch.equal(out, plain(x))
    attached.loss(F.cross_entropy(out, y)).backward()
    ours, theirs = read(net), by_hand(plain, x, y, attached.feedback, rule)
    assert ours.keys() == theirs.keys()
    for name, grad in ours.items():
        assert theirs[name].norm() > 0
        assert distance(grad, theirs[name]) < 1e-12, name
