"""What wraps a model is no part of its layers' names: the same seed draws the same B, and checkpoints fit."""

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

import lightning_fa as fa
from tests.problems import PROBLEMS, assert_same

PROBLEM = PROBLEMS["mlp"]
RULES = ("fa", "dfa", "kp", "sg", "local", "ifa", "shallow")


def compiled(model):
    return torch.compile(model, backend="eager")


def by_fabric(model):
    return Fabric(accelerator="cpu", devices=1).setup_module(model)


WRAPPERS = {
    "torch.compile": compiled,
    "Fabric": by_fabric,
    "DataParallel": nn.DataParallel,
    "checkpointing": checkpoint_wrapper,
    "DataParallel of torch.compile": lambda model: nn.DataParallel(compiled(model)),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("rule", RULES)
def test_a_wrapped_model_has_the_feedback_of_the_plain_one(wrapper, rule):
    """The same seed would be another experiment, and a resume in a compiled model an error about another rule."""
    plain = fa.attach(PROBLEM.model(), rule)
    wrapped = fa.attach(WRAPPERS[wrapper](PROBLEM.model()), rule)
    assert_same(dict(wrapped.feedback), dict(plain.feedback))
    assert wrapped.config() == plain.config()
    assert repr(wrapped) == repr(plain)
    wrapped.load_state_dict(plain.state_dict())
    plain.load_state_dict(wrapped.state_dict())


class Holder(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize("rule", ["fa", "dfa", "kp"])
def test_a_part_that_is_compiled_changes_no_name(rule):
    """`self.net = torch.compile(net)` is the usual way."""
    plain = fa.attach(Holder(PROBLEM.model()), rule)
    wrapped = fa.attach(Holder(compiled(PROBLEM.model())), rule)
    assert_same(dict(wrapped.feedback), dict(plain.feedback))
    assert repr(wrapped) == repr(plain)


def test_patterns_are_those_of_the_plain_model():
    """A configuration must fit both."""
    names = ["net.0", "net.2", "net.4"]
    attached = fa.attach(compiled(Holder(compiled(PROBLEM.model()))), "dfa", blocks=names)
    assert attached.config()["blocks"] == names
    attached.detach()
    fa.attach(compiled(Holder(PROBLEM.model())), "fa", ungoverned="net.2")


class Own(nn.Module):
    """A user's attributes happen to be called as those of wrappers."""

    def __init__(self):
        super().__init__()
        self.module = nn.Linear(4, 5)
        self._orig_mod = nn.Linear(5, 3)

    def forward(self, x):
        return self._orig_mod(torch.tanh(self.module(x)))


def test_a_users_own_attribute_keeps_its_name():
    """Names are B: a layer called `module` must draw what it drew before."""
    attached = fa.attach(Own(), "fa")
    assert list(attached.feedback) == ["module", "_orig_mod"]


@pytest.mark.parametrize("wrapper", ["torch.compile", "Fabric", "DataParallel"])
def test_a_wrapped_model_trains_as_the_plain_one(wrapper):
    """The rule is in the wrapped module, and its wrapper still calls it."""
    gradients = []
    for wrap in (lambda model: model, WRAPPERS[wrapper]):
        torch.manual_seed(0)
        model = PROBLEM.model()
        call = wrap(model)
        attached = fa.attach(call, "dfa")
        x, y = PROBLEM.batch(8, seed=0)
        attached.loss(nn.functional.cross_entropy(call(x), y)).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert_same(*gradients)
