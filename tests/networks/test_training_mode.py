"""What exists in training mode only, and what the dry run, which is in evaluation mode, therefore does not show."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.wiring import LeakError
from tests.problems import distance, read

RULES = ["dfa", "dfa_sign", "ebd", "lafs", "drtp", "local", "solo", "sg", "sgprop"]


class Passed(nn.Module):
    """A connection past the second block."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        z = torch.tanh(self.b(h))
        return self.c(z + h if self.training else z)


class Auxiliary(Passed):
    """A head on the first block, as in GoogLeNet."""

    def __init__(self, detached: bool = False) -> None:
        super().__init__()
        self.aux, self.detached = nn.Linear(4, 4), detached

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        out = self.c(torch.tanh(self.b(h)))
        if self.training:
            self.beside = self.aux(h.detach() if self.detached else h)
        return out


def prepared(
    build: Callable[[], nn.Module], rule: str, **settings: object
) -> tuple[nn.Module, Tensor, Tensor, fa.Attached]:
    torch.manual_seed(5)
    net, x = build().double(), torch.randn(5, 4).double()
    return net, x, torch.randint(4, (5,)), fa.attach(net, rule, example=x, **settings)


@pytest.mark.parametrize("settles", ["where it saves", "always"])
@pytest.mark.parametrize("rule", RULES)
def test_a_connection_is_an_error_of_the_first_pass(rule, settles):
    """The block below received its own projection of the error and that of the block above."""
    net, x, y, attached = prepared(Passed, rule)
    attached._wiring.step.settles = settles
    for _ in range(2):
        attached.targets = y
        with pytest.raises(LeakError, match=r"from block 'b' into block 'a'.* exists in training mode only"):
            net(x)
        attached.forget()


@pytest.mark.parametrize("rule", RULES)
def test_what_training_mode_does_inside_blocks_is_none(rule):
    torch.manual_seed(5)
    layers = (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Tanh()) for _ in range(3))
    net, x, y, attached = prepared(lambda: nn.Sequential(*layers, nn.Linear(4, 4)), rule)
    for _ in range(2):
        attached.targets = y
        attached.loss(F.cross_entropy(net(x), y)).backward()
    assert attached._wiring.cut.isolation.due() is False


class Skips(Passed):
    """The connection past the second block is there in each mode."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        return self.c(torch.tanh(self.b(h)) + h)


@pytest.mark.parametrize("settles", ["where it saves", "always"])
@pytest.mark.parametrize("example", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_a_connection_from_a_part_that_was_frozen_is_an_error_as_soon_as_the_part_learns(rule, example, settles):
    """Autograd draws no graph of what is frozen. After a thaw the block below learned by the true gradient as well."""
    torch.manual_seed(5)
    net, x, y = Skips().double(), torch.randn(5, 4).double(), torch.randint(4, (5,))
    net.a.requires_grad_(False)
    attached = fa.attach(net, rule, example=x if example else None)
    attached._wiring.step.settles = settles

    def step() -> None:
        attached.targets = y
        attached.loss(F.cross_entropy(net(x), y)).backward()

    for _ in range(2):
        step()
    net.a.requires_grad_(True)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"from block '[bc]' into block 'a'|block '[bc]' would train block 'a'"):
            step()
        attached.forget()
    net.a.requires_grad_(False)
    step()


@pytest.mark.parametrize("rule", RULES)
def test_parts_that_learn_in_turns_are_checked_once_each(rule):
    """`toggle_optimizer` freezes and thaws parts in every step, and a check reads the whole graph."""
    torch.manual_seed(5)
    net, x, y = layers(frozen=False).double(), torch.randn(5, 4).double(), torch.randint(4, (5,))
    attached, checked = fa.attach(net, rule), []
    for step in range(6):
        net[0].requires_grad_(step % 2 == 1)
        net[2].requires_grad_(step % 2 == 0)
        attached.targets = y
        loss = F.cross_entropy(net(x), y)
        isolation = attached._wiring.cut.isolation
        checked.append(len(isolation.frozen))
        attached.loss(loss).backward()
    assert checked[0] > 0
    assert checked[2:] == [0, 0, 0, 0]


def layers(frozen: bool) -> nn.Module:
    net = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    net[0].requires_grad_(not frozen)
    return net


@pytest.mark.parametrize("settles", ["where it saves", "always"])
@pytest.mark.parametrize("rule", RULES)
def test_a_part_that_was_frozen_learns_by_the_rule(rule, settles):
    """The table says so as well."""
    found = []
    for frozen in (True, False):
        net, x, y, attached = prepared(partial(layers, frozen), rule)
        attached._wiring.step.settles = settles
        for _ in range(2):
            net.zero_grad()
            attached.targets = y
            attached.loss(F.cross_entropy(net(x), y)).backward()
            net[0].requires_grad_(True)
        found.append((read(net), str(attached)))
    for name, g in found[0][0].items():
        assert torch.equal(g, found[1][0][name]), name
    assert found[0][1] == found[1][1]


def test_evaluation_first_does_not_hide_it():
    """A pass with gradients on in evaluation mode, as in a saliency map before training."""
    net, x, y, _ = prepared(Passed, "dfa")
    F.cross_entropy(net.eval()(x), y).backward()
    with pytest.raises(LeakError, match="exists in training mode only"):
        net.train()(x)


@pytest.mark.parametrize("rule", RULES)
def test_an_auxiliary_head_is_an_error_of_the_first_loss(rule):
    """What the message of the dry run says to leave out handed its true error to the block below, by weight transport."""
    with pytest.raises(ValueError, match=r"does not call aux .*ungoverned=\['aux'\]"):
        prepared(Auxiliary, rule)
    net, x, y, attached = prepared(Auxiliary, rule, ungoverned=["aux"])
    for _ in range(2):
        attached.targets = y
        out = net(x)
        with pytest.raises(ValueError, match=r"depends on the output of block 'a' through aux\.weight, so"):
            attached.loss(F.cross_entropy(out, y) + F.cross_entropy(net.beside, y))
        attached.forget()


@pytest.mark.parametrize("rule", RULES)
def test_an_auxiliary_head_that_the_message_detaches_learns_alone(rule):
    found = []
    for weight in (0.0, 1.0):
        net, x, y, attached = prepared(partial(Auxiliary, detached=True), rule, ungoverned=["aux"])
        attached.targets = y
        attached.loss(F.cross_entropy(net(x), y) + weight * F.cross_entropy(net.beside, y)).backward()
        found.append(read(net))
    without, both = found
    assert both["aux.weight"].norm() > 0 == without["aux.weight"].norm()
    assert all(distance(g, without[name]) == 0 for name, g in both.items() if not name.startswith("aux") and g.any())


def test_a_penalty_is_no_head():
    """No weight lies between the block and the loss."""
    net, x, y, attached = prepared(partial(Auxiliary, detached=True), "dfa", ungoverned=["aux"])
    out = net(x)
    attached.loss(
        F.cross_entropy(out, y) + sum(p.square().sum() for p in net.parameters()) + net.beside.mean()
    ).backward()
    assert net.a.weight.grad.any()


class Again(Passed):
    """The weight of a layer is used once more, outside of the layer."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        z = self.b(h)
        return self.c(torch.tanh(z + F.linear(h, self.b.weight) if self.training else z))


TRANSPORT = ["fa", "usf", "kp", "wm", "fa_sparse"]


@pytest.mark.parametrize("rule", TRANSPORT)
def test_a_true_weight_that_carries_an_error_is_an_error_of_the_first_loss(rule):
    """Half of the error at the layer's input came back through W."""
    net, x, y, attached = prepared(Again, rule)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="The true weight of b carries an error"):
            attached.loss(F.cross_entropy(net(x), y))


@pytest.mark.parametrize("rule", TRANSPORT)
def test_so_is_one_in_the_training_step(rule):
    """A decoder with the encoder's weight, of which `forward` knows nothing."""
    net, x, _, attached = prepared(Passed, rule)
    net.eval()  # without the connection
    out = F.linear(net(x), net.a.weight.t())
    with pytest.raises(RuntimeError, match="The true weight of a carries an error"):
        attached.loss(F.mse_loss(out, x))


@pytest.mark.parametrize("rule", ["bp", *TRANSPORT])
def test_a_penalty_on_weights_carries_none(rule):
    net, x, y, attached = prepared(Passed, rule)
    gram = net.b.weight @ net.b.weight.t()
    attached.loss(F.cross_entropy(net(x), y) + (gram - torch.eye(4)).square().sum() + net.a.weight.norm()).backward()
    assert net.b.weight.grad.any()
