"""Which input of a block is the output of the block below: the same in every pass, whatever else requires a gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests import cases
from tests.problems import Gradients, assert_close, read

RULES = ("dfa", "lafs", "drtp", "dkp", "solo", "sg")
EPS = torch.finfo(torch.float64).eps


class Cell(nn.Module):
    """A recurrent cell, whose state comes first or last."""

    def __init__(self, state_first: bool) -> None:
        super().__init__()
        self.w, self.u, self.state_first = nn.Linear(8, 8), nn.Linear(8, 8), state_first

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        h, z = (a, b) if self.state_first else (b, a)
        return torch.tanh(self.w(z) + self.u(h))


class Policy(nn.Module):
    """Called once a time step, with the state that it returned in the step before."""

    def __init__(self, state_first: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.encoder, self.cell, self.head = nn.Linear(6, 8), Cell(state_first), nn.Linear(8, 3)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.tanh(self.encoder(x))
        h = self.cell(h, z) if self.cell.state_first else self.cell(z, h)
        return self.head(h), h


def unrolled(rule: str, state_first: bool) -> tuple[Gradients, fa.Attached]:
    net = Policy(state_first).double()
    attached = fa.attach(net, rule, blocks=["encoder", "cell", "head"])
    torch.manual_seed(2)
    x, y, h = torch.randn(3, 5, 6).double(), torch.randint(3, (5,)), torch.zeros(5, 8).double()
    attached.targets, loss = y, torch.zeros(()).double()
    for step in x:
        out, h = net(step, h)
        loss = loss + F.cross_entropy(out, y)
    attached.loss(loss).backward()
    return read(net), attached


def test_the_state_of_the_step_before_is_not_the_output_of_the_block_below():
    """From the second step on B e of the encoder went to the state, and the true error of the cell into the encoder."""
    ours, attached = unrolled("dfa", state_first=True)
    b = {name: tensor.double() for name, tensor in attached.feedback.items()}
    plain = Policy(True).double()
    torch.manual_seed(2)
    x, y, h = torch.randn(3, 5, 6).double(), torch.randint(3, (5,)), torch.zeros(5, 8).double()
    total = torch.zeros(()).double()
    for step in x:
        z = torch.tanh(plain.encoder(step))
        h = plain.cell(h, z.detach())
        out = plain.head(h.detach())
        loss = F.cross_entropy(out, y)
        (e,) = torch.autograd.grad(loss, out, retain_graph=True)
        total = total + loss + (z * (e @ b["encoder"].T)).sum() + (h * (e @ b["cell"].T)).sum()
    total.backward()
    assert_close(ours, read(plain), EPS, rounds=256)


@pytest.mark.parametrize("rule", ["dfa", "lafs", "drtp", "solo"])
def test_the_order_of_the_arguments_changes_nothing(rule):
    assert_close(unrolled(rule, state_first=True)[0], unrolled(rule, state_first=False)[0], EPS, rounds=256)


class Unit(nn.Module):
    """A block that reads the data beside the output of the block below."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 6)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.layer(torch.cat([x, h], -1)))


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.below, self.unit, self.head = nn.Linear(6, 6), Unit(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.unit(x, torch.tanh(self.below(x))))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("example", [True, False])
def test_data_that_require_a_gradient_change_no_gradient_of_a_weight(rule, example):
    """As under an attack, or for a saliency map. The block below learned by the true error of the block above."""
    net = Skip().double()
    torch.manual_seed(2)
    x, y = torch.randn(5, 6).double(), torch.randint(3, (5,))
    attached = cases.attach(net, rule, example=x if example or rule in ("sg", "dkp") else None)

    def step(x: Tensor) -> Gradients:
        net.zero_grad()
        attached.targets = y
        attached.loss(F.cross_entropy(net(x), y)).backward()
        return read(net)

    expected, leaf = step(x), x.clone().requires_grad_()
    assert_close(step(leaf), expected, EPS, rounds=256)
    assert leaf.grad.abs().sum() > 0
