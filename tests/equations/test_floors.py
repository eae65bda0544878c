"""The hand-written loops that times are compared with compute what the rules compute."""

import pytest
import torch
from torch import nn

import lightning_fa as fa
from benchmarks.time.floors import FLOORS, floor
from benchmarks.time.nets import criterion, mlp


def awaken(net):
    """Predictors begin at zero, where hidden layers learn nothing."""
    rng = torch.Generator().manual_seed(1)
    for p in net.parameters():
        if not p.any():
            p.data.normal_(generator=rng)


@pytest.mark.parametrize("rule", FLOORS)
def test_a_floor_is_its_rule(rule):
    """A loop that computes less than the rule is a floor that nothing can reach."""
    case = mlp("6-5x3-10", batch=7)
    plain, step = floor(case, rule)
    awaken(plain)
    before = {name: p.detach().clone() for name, p in plain.named_parameters()}
    step()
    net, x, y = case.build()
    attached = fa.attach(net, rule, example=x[:2])
    awaken(net)
    attached.targets = y
    attached.loss(criterion(rule, net(x), y)).backward()
    assert before.keys() == {name for name, _ in plain.named_parameters()}
    for name, p in plain.named_parameters():
        ours = net.get_parameter(name).grad
        torch.testing.assert_close(p.grad, ours, msg=lambda m, name=name: f"{name}: {m}")
        torch.testing.assert_close(p.detach(), before[name] - 1e-4 * ours)
    assert all(p.grad.abs().max() > 0 for p in plain.parameters())


def test_kickback_is_timed_with_a_loss_that_it_takes():
    """With cross-entropy its errors sum to zero, and the whole benchmark ends there."""
    from benchmarks.time.nets import stepper

    stepper(mlp("6-5x3-10", batch=7), "kickback")()
    assert criterion("dfa", torch.zeros(1, 4), torch.tensor([2])) == pytest.approx(torch.tensor(4.0).log())
    assert criterion("kickback", torch.zeros(1, 4), torch.tensor([2])) == 0.25
    assert isinstance(mlp("6-5x3-10").net()[-1], nn.Linear)
