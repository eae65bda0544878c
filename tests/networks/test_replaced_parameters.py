"""Parameters that FSDP2 or a loaded state replaces after the rule was attached: nothing holds on to the old ones."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

import lightning_fa as fa
from tests.problems import mlp

every_rule = pytest.mark.parametrize("rule", fa.RULES)


def shard(net: nn.Module, mesh) -> None:
    fully_shard(net, mesh=mesh)


def assign(net: nn.Module, _) -> None:
    net.load_state_dict({name: p.clone() for name, p in net.state_dict().items()}, assign=True)


def attached_net(rule: str) -> tuple[nn.Module, fa.Attached]:
    net = mlp()
    return net, fa.attach(net, rule, example=torch.zeros(2, 10))


@every_rule
@pytest.mark.parametrize("replace", [shard, assign])
def test_the_old_parameters_are_freed(one_rank, rule, replace):
    """FSDP2 would save nothing if the whole weights stayed alive beside the shards."""
    net, attached = attached_net(rule)
    old = [weakref.ref(p) for name, p in net.named_parameters() if "_feedback" not in name]
    replace(net, one_rank)
    gc.collect()
    assert old
    assert not any(ref() is not None for ref in old)
    assert attached.model is net


@every_rule
@pytest.mark.parametrize("replace", [shard, assign])
@pytest.mark.parametrize("held", [False, True], ids=["freed", "held by an optimizer"])
def test_what_the_rule_governs_is_told_as_before(one_rank, rule, replace, held):
    """Sharded weights were said to learn by no rule."""
    net, attached = attached_net(rule)
    optimizer = torch.optim.SGD(net.parameters()) if held else None
    before = attached.governance()
    assert before.governed
    replace(net, one_rank)
    assert attached.governance() == before
    del optimizer


@pytest.mark.parametrize("replace", [shard, assign])
def test_replaced_parameters_that_were_frozen_learn_after_detach(one_rank, replace):
    net, attached = attached_net("shallow")
    assert not net[0].weight.requires_grad
    replace(net, one_rank)
    attached.detach()
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg"])
def test_a_copy_says_what_its_own_parameters_learn_by(rule):
    """The record of the pass is weak, and a copy's record must be of the copy's parameters."""
    net, attached = attached_net(rule)
    for twin in (copy.deepcopy(attached), pickle.loads(pickle.dumps(attached))):
        assert twin.model is not net
        assert twin.governance() == attached.governance()
        assert any(twin.governance())
