"""A module set aside for a measurement comes back bit by bit."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from lightning_fa.callbacks.undisturbed import undisturbed
from lightning_fa.suspension import suspended
from tests.callbacks.net import RULES, Net

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def test_undisturbed_restores_after_an_error_too():
    module = Net()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), undisturbed(module):  # noqa: PT012
        module(torch.randn(8, 10))
        module.calls, module.new = 5, torch.zeros(1)
        module.seen.append(1)
        module.eval()
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), state)
    assert (module.calls, module.seen, hasattr(module, "new"), module.net.training) == (0, [], False, True)
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    assert "log" not in module.__dict__


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("shallow", "fa_sparse")])
def test_a_suspended_rule_is_backprop_and_comes_back_bitwise(rule):
    """Of two twins one is suspended in between: both must go on alike, streams and learned feedback included."""
    torch.manual_seed(0)
    start = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    x, y = torch.randn(7, 5), torch.randint(3, (7,))

    def gradients(net, attached=None):
        net.zero_grad()
        if attached:
            attached.targets = y
        loss = F.cross_entropy(net(x), y)
        (attached.loss(loss) if attached else loss).backward()
        return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}

    def same(ours, theirs):
        return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

    models = [copy.deepcopy(start), copy.deepcopy(start)]
    attached = [fa.attach(model, rule) for model in models]
    assert same(gradients(models[0], attached[0]), gradients(models[1], attached[1]))
    with suspended(attached[0]):
        assert same(gradients(models[0]), gradients(start))
        assert type(models[0][2]) is nn.Linear
    assert same(gradients(models[0], attached[0]), gradients(models[1], attached[1]))
    attached[0].detach()
    assert type(models[0][2]) is nn.Linear
