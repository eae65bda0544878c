"""Blocks whose instance has a `forward` of its own, as `accelerate` and activation checkpoints by hand set one.

`nn.Module.__call__` prefers the instance's forward to that of the class, by which a rule enters a block.
"""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import lightning_fa as fa
from tests.oracles import OTHERS
from tests.problems import Gradients, assert_same, read


def hook(layer: nn.Module) -> None:
    """A function of the instance that calls the method that it replaces, as `accelerate.hooks` sets it."""
    own = layer.forward
    layer.forward = functools.update_wrapper(functools.partial(lambda _, *args: own(*args), layer), own)


def checkpointed(layer: nn.Module) -> None:
    layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def trained(net: nn.Module, rule: str, example: bool) -> Gradients:
    torch.manual_seed(2)
    x, y = torch.randn(5, 6), torch.randint(3, (5,))
    attached = fa.attach(net, rule, example=x if example else None)
    for _ in range(2):
        net.zero_grad()
        attached.targets = y
        attached.loss(F.cross_entropy(net(x), y)).backward()
    attached.detach()
    return read(net)


@pytest.mark.parametrize("rule", [rule for rule in OTHERS if rule not in ("kickback", "brsf", "wm", "fa_sparse", "kp")])
@pytest.mark.parametrize("example", [True, False])
@pytest.mark.parametrize("which", ["024", "2"])
def test_a_block_with_a_forward_of_its_own_learns_by_the_rule(rule, example, which):
    """Every rule that cuts the graph was backpropagation there, and its table said that it was not."""
    net = network()
    for name in which:
        hook(net.get_submodule(name))
    patched = {name: net.get_submodule(name).forward for name in which}
    ours, expected = trained(net, rule, example), trained(network(), rule, example)
    for name in expected:
        torch.testing.assert_close(ours[name], expected[name], rtol=1e-5, atol=1e-7)
    assert all(net.get_submodule(name).forward is patched[name] for name in which)


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg"])
def test_a_checkpoint_that_is_set_by_hand_changes_nothing(rule):
    net = network()
    for name in "02":
        checkpointed(net.get_submodule(name))
    assert_same(trained(net, rule, example=True), trained(network(), rule, example=True))


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg", "shallow", "ifa", "fa"])
def test_the_forward_that_the_user_set_is_the_one_that_runs(rule):
    net, x = network(), torch.randn(5, 6)
    own = net[2].forward
    net[2].forward = lambda h: 2 * own(h)
    expected = net(x)
    fa.attach(net, rule, example=x).targets = torch.randint(3, (5,))
    assert torch.equal(net(x), expected)
    with torch.no_grad():
        assert torch.equal(net(x), expected)
