"""Learned feedback is frozen with its block. It learns again when the block does, as it would had it never been frozen."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa

RULES = {"dkp": "dkp", "ebd": "ebd", "local": "local", "sg": "sg", "pred": fa.LocalLosses(loss="pred")}


def begun(rule, params=lambda net: net.parameters()):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    net[0].requires_grad_(False)
    x, y = torch.randn(5, 6), torch.randint(3, (5,))
    attached = fa.attach(net, rule, example=x)
    optimizer = torch.optim.SGD(params(net), 0.1)

    def step():
        optimizer.zero_grad()
        attached.targets = y
        attached.loss(F.cross_entropy(net(x), y)).backward()
        optimizer.step()

    return net, attached, step


def of_the_first_block(attached):
    return {name: b.detach().clone() for name, b in attached.feedback.items() if name.partition(".")[0] == "0"}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_feedback_learns_again_with_its_block(rule):
    """A prediction by a matrix of zeros, which was frozen, gave the layer a gradient of exactly zero for ever."""
    net, attached, step = begun(rule)
    drawn = of_the_first_block(attached)
    step()
    assert all(torch.equal(b, drawn[name]) for name, b in of_the_first_block(attached).items())
    net[0].weight.requires_grad_(True)
    for _ in range(3):
        step()
    assert not all(torch.equal(b, drawn[name]) for name, b in of_the_first_block(attached).items())
    assert net[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("rule", ["dkp", "ebd", "local"])  # a predictor of zeros that is frozen is an error
def test_feedback_that_was_frozen_on_purpose_stays_frozen(rule):
    net, attached, step = begun(rule)
    net[2].requires_grad_(True)
    for b in attached.feedback.values():
        b.requires_grad_(False)
    held = {name: b.clone() for name, b in attached.feedback.items() if name.partition(".")[0] == "2"}
    step()
    net[0].weight.requires_grad_(True)
    step()
    assert held
    assert all(torch.equal(attached.feedback[name], b) for name, b in held.items())


@pytest.mark.parametrize("rule", ["dkp", "local"])
def test_an_optimizer_that_does_not_hold_it_is_refused(rule):
    """An optimizer of what learned in the beginning."""
    net, _, step = begun(rule, lambda net: [net[0].weight, *(p for p in net.parameters() if p.requires_grad)])
    step()
    net[0].weight.requires_grad_(True)
    with pytest.raises(RuntimeError, match=r"The learned feedback 0\._feedback.* is in no optimizer"):
        step()
