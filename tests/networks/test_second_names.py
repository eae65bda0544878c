"""Parts that a model holds under two names: an encoder and the chain that contains it, a slice of a network for later use."""

import pytest
import torch
from torch import nn

import lightning_fa as fa
from tests.cases import attach, every_rule
from tests.oracles import ORACLES
from tests.problems import assert_same, gradients


class Called(nn.Module):
    """The plain network: every layer has one name."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.register(*(layer.double() for layer in layers))

    def register(self, first: nn.Module, second: nn.Module, third: nn.Module) -> None:
        self.first, self.second, self.third = first, second, third

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Chained(Called):
    def register(self, first: nn.Module, second: nn.Module, third: nn.Module) -> None:
        super().register(first, second, third)
        self.net = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), third)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class HeadFirst(Chained):
    """The chain says in which order the layers are called, whatever the order of their own names."""

    def register(self, first: nn.Module, second: nn.Module, third: nn.Module) -> None:
        self.third, self.second, self.first = third, second, first
        self.net = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), third)


class Sliced(Called):
    def register(self, first: nn.Module, second: nn.Module, third: nn.Module) -> None:
        super().register(first, second, third)
        self.body = nn.ModuleList([first, second])
        self.top = third


class Nested(Chained):
    def register(self, first: nn.Module, second: nn.Module, third: nn.Module) -> None:
        super().register(first, second, third)
        self.encoder = nn.Sequential(first, nn.Tanh(), second, nn.Tanh())
        self.model = nn.Sequential(self.encoder, third)


SECOND = [Chained, HeadFirst, Sliced, Nested]


@every_rule
@pytest.mark.parametrize("build", SECOND)
def test_a_layer_under_two_names_is_one_block_and_learns_as_under_one(rule, build):
    """Under its first name: feedback is drawn from it."""
    values = ORACLES[rule].independent_outputs
    y = torch.rand(5, 3, dtype=torch.float64) if values else torch.tensor([0, 1, 2, 0, 1])
    batch = torch.randn(5, 4, dtype=torch.float64), y
    taken = []
    for net in (Called(), build()):
        attached = attach(net, rule)
        assert attached.config()["blocks"] == ["first", "second", "third"]
        taken.append(gradients(net, batch, attached))
    assert_same(taken[1], taken[0])


class Kept(nn.Module):
    """A part of a network within reach, as for its features."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        model = Called()
        if before:
            self.features = model.second
        self.model = model
        if not before:
            self.features = model.second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


@pytest.mark.parametrize(("before", "second"), [(True, "features"), (False, "model.second")])
def test_a_second_name_for_a_part_of_a_network_changes_no_block(before, second):
    """The network is then still an only child, whose parts are the blocks."""
    assert fa.attach(Kept(before), "dfa").config()["blocks"] == ["model.first", second, "model.third"]


@every_rule
def test_a_part_that_is_left_out_under_one_name_is_not_governed_under_another(rule):
    """Silently, the rule would train what the user has excluded."""
    with pytest.raises(ValueError, match=r"net is named in `ungoverned`, but .* another name: first, second, third\."):
        fa.attach(Chained(), rule, ungoverned=["net"])
    left = fa.attach(Chained(), rule, ungoverned=["first"])
    assert left.config()["blocks"] == ["second", "third"]


def test_an_encoder_of_two_networks_stands_once_in_the_list():
    """Neither network contains the other. The blocks of the encoder come with the first."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            encoder = nn.Linear(4, 6)
            self.label = nn.Sequential(encoder, nn.Tanh(), nn.Linear(6, 3))
            self.value = nn.Sequential(encoder, nn.Tanh(), nn.Linear(6, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.label(x)

    assert fa.attach(Two(), "dfa").config()["blocks"] == ["label.0", "label.2", "value.2"]
    assert fa.attach(Two(), "dfa", ungoverned=["value.2"]).config()["blocks"] == ["label.0", "label.2"]
    with pytest.raises(ValueError, match=r"under another name: label\.0\."):
        fa.attach(Two(), "dfa", ungoverned=["value"])


def test_parts_of_a_unit_have_their_first_names_where_an_example_shows_them():
    """A unit's own chain, whose layers are attributes of the unit too."""
    net = nn.Sequential(Chained(), nn.Linear(3, 3).double())
    attached = fa.attach(net, "dfa", example=torch.zeros(1, 4, dtype=torch.float64))
    assert attached.config()["blocks"] == ["0.first", "0.second", "0.third", "1"]
