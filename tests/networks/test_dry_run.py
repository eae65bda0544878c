"""The dry run that ``attach`` makes on ``example`` leaves no trace in the model."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa

RULES = ("bp", "fa", "dfa", "lafs", "sg", "ebd")
X, Y = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


class Ranged(nn.Module):
    """As an observer of quantisation-aware training: the ranges of all inputs so far, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(0))

    def forward(self, x):
        largest = x.detach().abs().amax(0)
        if not self.largest.numel():
            self.largest.resize_(largest.shape).zero_()
        self.largest.copy_(torch.maximum(self.largest, largest))
        return x / (1 + self.largest)


class Normed(nn.Module):
    """As in Glow: the first batch decides the scale, whatever the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.begun = nn.Parameter(torch.ones(6)), False

    def forward(self, x):
        if not self.begun:
            self.gain.data = 1 / x.detach().std(0)
            self.begun = True
        return x * self.gain


class Leaky(nn.Module):
    """As a layer of a spiking network: the potential of the last call decays into the next."""

    def __init__(self) -> None:
        super().__init__()
        self.potential = None
        self.calls = []

    def forward(self, x):
        self.calls.append(len(x))
        self.potential = x if self.potential is None else 0.5 * self.potential.detach() + x
        return self.potential


class Built(nn.Module):
    """As in other frameworks: the first batch decides the size of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.built = False

    def forward(self, x):
        if not self.built:
            self.shift, self.built = nn.Parameter(torch.randn(x.shape[1])), True
        return x + self.shift


class Noisy(nn.Module):
    """Draws in evaluation mode too."""

    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


class Pooled(nn.Module):
    def forward(self, x):
        return x.mean(1)


def net_with(layer: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(layer, nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", [Ranged, Normed, Leaky])
def test_the_first_step_sees_nothing_of_the_example(layer, rule):
    """The example was twenty times larger: a range, a scale or a potential that it left would change the output."""
    net = net_with(layer())
    plain = copy.deepcopy(net)
    attached = fa.attach(net, rule, example=20 * X[:2])
    attached.targets = Y
    assert torch.equal(net(X), plain(X))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", [Built, lambda: nn.LazyBatchNorm1d(affine=False)])
def test_a_layer_that_the_example_builds_is_not_built_again(layer, rule):
    """An optimizer that is made after ``attach`` would hold the weights of the first time."""
    net = net_with(layer())
    attached = fa.attach(net, rule, example=X)
    before = {id(tensor) for tensor in (*net.parameters(), *net.buffers())}
    attached.targets = Y
    attached.loss(F.cross_entropy(net(X), Y)).backward()
    assert {id(p) for p in net.parameters()} <= before
    assert {id(b) for n, b in net.named_buffers() if "_feedback" not in n} <= before


@pytest.mark.parametrize("rule", RULES)
def test_random_numbers_and_modes_are_as_before(rule):
    net = net_with(Noisy())
    net[1].eval()
    state = torch.get_rng_state()
    fa.attach(net, rule, example=X)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in net] == [True, False, True, True, True, True]


@pytest.mark.parametrize("rule", RULES)
def test_feedback_that_the_dry_run_draws_stays(rule):
    """The width of the first block was guessed from the Linear that follows: 6, and not 2 positions of 6."""
    torch.manual_seed(1)
    layers = nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), Pooled(), nn.Linear(6, 3)
    net, x = nn.Sequential(*layers), X.view(8, 2, 3)
    attached = fa.attach(net, rule, example=x)
    held = {name: b.clone() for name, b in attached.feedback.items()}
    assert bool(held) == (rule != "bp")
    attached.targets = Y
    attached.loss(F.cross_entropy(net(x), Y)).backward()
    assert all(torch.equal(b, held[name]) for name, b in attached.feedback.items())


class Autoencoder(nn.Module):
    """Lightning's first example: ``forward`` is the encoder, and training calls the decoder as well."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6))

    def forward(self, x):
        return self.encoder(x)


class Silent(nn.Module):
    """Training calls ``net`` itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    @torch.no_grad()
    def forward(self, x):
        return self.net(x)


def test_an_example_that_shows_a_part_of_the_training_step_is_to_be_left_out():
    """Whoever left out the decoder instead, as the message said, trained it by backpropagation."""
    with pytest.raises(
        ValueError, match=r"does not call decoder\.0, decoder\.2 .*If training calls them.* leave out `example=`"
    ):
        fa.attach(Autoencoder(), "dfa", example=X)
    with pytest.raises(ValueError, match="leave out `example=`") as refused:
        fa.attach(Silent(), "dfa", example=X)
    assert "ungoverned" not in str(refused.value)
    model = Autoencoder()
    attached = fa.attach(model, "dfa")
    attached.loss(F.mse_loss(model.decoder(model.encoder(X)), X)).backward()
    assert attached.governance() == (4, 0, 0)
