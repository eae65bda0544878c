"""A layer that comes into a model after its rule is refused: the rule does not govern it, and errors would cross its weight."""

import gc
import pickle
import weakref

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_fa as fa
from tests.distributed.pipeline_net import trainer
from tests.problems import assert_close, assert_same

X, Y = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
rules = pytest.mark.parametrize("rule", [name for name, rule in fa.RULES.items() if not rule.control])


class Net(nn.Module):
    """A list inside, a head, and a part that the rule leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh())
        self.head = nn.Linear(5, 4)
        self.extra = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def attached_net(rule: str) -> tuple[Net, fa.Attached]:
    torch.manual_seed(1)
    net = Net()
    return net, fa.attach(net, rule, ungoverned="extra", example=X)


def step(net: nn.Module, attached: fa.Attached) -> dict[str, torch.Tensor]:
    net.zero_grad()
    attached.targets = Y
    attached.loss(nn.functional.cross_entropy(net(X), Y)).backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None and "_feedback" not in name}


def plain(net: Net) -> dict[str, torch.Tensor]:
    """Backpropagation's gradients, of a network with the layers that were appended."""
    twin = Net()
    twin.body += nn.Sequential(*(nn.Linear(5, 5) for _ in net.body[4:]))
    twin.load_state_dict(net.state_dict())
    nn.functional.cross_entropy(twin(X), Y).backward()
    return {name: p.grad for name, p in twin.named_parameters() if p.grad is not None}


def replace_head(net: Net) -> str:
    net.head = nn.Linear(5, 7)
    return "head"


def replace_hidden(net: Net) -> str:
    net.body[2] = nn.Linear(5, 5)
    return "body.2"


def append(net: Net) -> str:
    net.body.append(nn.Linear(5, 5))
    return "body.4"


def wrap_in_a_list(net: Net) -> str:
    net.head = nn.Sequential(nn.Linear(5, 5), net.head)
    return "head.0"


def into_a_late_list(net: Net) -> str:
    net.head = nn.Sequential(net.head)
    net.head.append(nn.Linear(4, 4))
    return "head.1"


@rules
@pytest.mark.parametrize("change", [replace_head, replace_hidden, append, wrap_in_a_list, into_a_late_list])
@pytest.mark.parametrize("after_a_pass", [False, True])
def test_a_late_layer_is_named_when_it_is_called(rule, change, after_a_pass):
    net, attached = attached_net(rule)
    if after_a_pass:
        attached.targets = Y
        net(X)
        attached.forget()
    name = change(net)
    with pytest.raises(
        RuntimeError, match=f"The layer '{name}' .Linear. came into the model after {type(attached.rule).__name__}"
    ):
        step(net, attached)


def test_the_control_takes_late_layers():
    net, attached = attached_net("bp")
    append(net)
    assert_same(step(net, attached), plain(net))


@pytest.mark.parametrize("rule", ["fa", "dfa"])
def test_a_late_layer_learns_once_the_rule_is_attached_again(rule):
    net, attached = attached_net(rule)
    append(net)
    with torch.no_grad():
        net(X)  # no error can cross
    attached.detach()
    again = fa.attach(net, rule, ungoverned="extra", example=X)
    assert "body.4" in " ".join(again.feedback)
    step(net, again)


def test_a_suspended_rule_refuses_nothing():
    net, attached = attached_net("fa")
    append(net)
    with attached.suspended():
        assert_same(step(net, attached), plain(net))


def test_an_excluded_layer_may_come_late():
    net, _ = attached_net("dfa")
    net.extra = nn.Linear(6, 2)
    assert net.extra(X).requires_grad


def test_a_layer_that_neither_learns_nor_passes_an_error_may_come_late():
    """A frozen teacher."""
    net, attached = attached_net("fa")
    net.teacher = nn.Linear(6, 4).requires_grad_(False)
    assert not net.teacher(X).requires_grad
    with pytest.raises(RuntimeError, match="'teacher'"):
        net.teacher(X.clone().requires_grad_())
    step(net, attached)


@pytest.mark.parametrize("rule", ["fa", "dfa"])
def test_a_late_parametrisation_leaves_its_layer_governed(rule):
    net, attached = attached_net(rule)
    before = step(net, attached)
    nn.utils.parametrizations.weight_norm(net.body[2])
    after = step(net, attached)
    seen = ("body.0.weight", "head.weight")
    assert_close({name: after[name] for name in seen}, {name: before[name] for name in seen}, 2**-23)


def test_a_layer_that_has_left_the_model_again_is_free():
    net, attached = attached_net("fa")
    own, late = net.head, nn.Linear(5, 4)
    net.head = late
    net.head = own
    step(net, attached)
    assert late(torch.zeros(2, 5)).requires_grad


def test_another_model_is_not_watched():
    attached_net("fa")
    other = Net()
    append(other)
    assert other(X).requires_grad


def test_a_model_that_is_dropped_is_freed():
    net, attached = attached_net("fa")
    append(net)
    gone = weakref.ref(net)
    del net, attached
    gc.collect()
    assert gone() is None


def test_a_model_with_a_late_layer_can_be_saved():
    net, attached = attached_net("fa")
    append(net)
    attached.detach()
    loaded = pickle.loads(pickle.dumps(net))
    assert_same(dict(loaded.state_dict()), dict(net.state_dict()))
    assert not net.body[4]._forward_pre_hooks


class Growing(LightningModule):
    """A network whose head is replaced between two epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            self.net[2] = nn.Linear(5, 4)


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs"])
def test_a_head_that_is_replaced_during_fit_is_an_error(rule):
    with pytest.raises(RuntimeError, match=r"'net\.2'"):
        trainer(rule, 1).fit(Growing(), DataLoader(TensorDataset(X, Y), 4))
