"""Outputs with time steps before the samples, ``(steps, samples, channels, height, width)``, as of spiking networks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.cases import speak
from tests.problems import distance, read

STEPS, N, K = 5, 6, 3
ELSE = ("kickback", "shallow", "sgprop")
"""The first needs another loss. The second trains the head alone. The third sends down what depends on the scale of h."""
RULES = {
    **{name: fa.RULES[name]() for name in fa.RULES if name not in ELSE},
    "dfa, shared": fa.DirectFeedbackAlignment(spatial="shared"),
    "dfa_lowrank, shared": fa.LowRankDirectFeedbackAlignment(spatial="shared"),
    "drtp, shared": fa.DirectRandomTargetProjection(spatial="shared"),
    "dkp, shared": fa.DirectKolenPollack(spatial="shared"),
    "sg, dense": fa.SyntheticGradient(spatial="dense"),
}


class StepConv2d(nn.Conv2d):
    """A convolution of maps that takes every time step as a sample, as the layers of spiking libraries do."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -4)).unflatten(0, x.shape[:-3])


def network() -> nn.Sequential:
    """The second convolution has as many channels as the batch has samples, so that neither can be taken for the other."""
    torch.manual_seed(0)
    maps = [StepConv2d(2, 4, 3, padding=1), nn.Tanh(), StepConv2d(4, N, 3, padding=1), nn.Tanh()]
    return nn.Sequential(*maps, StepConv2d(N, 5, 3), nn.Tanh(), nn.Flatten(-3), nn.Linear(20, K)).double()


def step(rule: fa.Rule, x: Tensor, y: Tensor, example: Tensor) -> tuple[dict[str, Tensor], fa.Attached]:
    net = network()
    attached = fa.attach(net, rule, example=example)
    speak(attached)
    if isinstance(rule, fa.SyntheticGradient):
        with torch.no_grad():
            for b in attached.feedback.values():
                b *= len(x)  # the predictors are linear, and what they predict is divided by the first dimension of h
    attached.targets = y
    attached.loss(F.cross_entropy(net(x).flatten(0, -2), y.flatten())).backward()
    return read(net), attached


@pytest.mark.parametrize("dims", [1, 2])
def test_channels_that_are_as_many_as_those_of_the_output_are_no_positions(dims):
    """Of a map and an output of one shape, all dimensions but the last are equal. The last holds pixels, and no features."""
    conv = {1: nn.Conv1d, 2: nn.Conv2d}[dims]
    net = nn.Sequential(conv(2, K, 3, padding=1), nn.Tanh(), conv(K, K, 3, padding=1)).double()
    x = torch.randn(N, 2, *[4] * dims, dtype=torch.float64)
    attached = fa.attach(net, "dfa", example=x)
    B = attached.feedback["0"]
    assert B.shape == (K * 4**dims, K * 4**dims)
    out = net(x)
    target = torch.randn_like(out)
    F.mse_loss(out, target, reduction="sum").backward()
    h = torch.tanh(net[0](x))
    e = 2 * (out - target).detach()
    (expected,) = torch.autograd.grad(h.flatten(1), net[0].weight, e.flatten(1) @ B.T)
    assert distance(net[0].weight.grad, expected) < 1e-12


class Several(nn.Linear):
    """A head that predicts two tokens at every position."""

    def forward(self, h: Tensor) -> Tensor:
        return super().forward(h).unflatten(-1, (2, K))


@pytest.mark.parametrize("spatial", ["dense", "shared"])
def test_an_output_of_more_dimensions_has_a_row_for_every_position(spatial):
    """All scores of a position are its output, as if they stood in one dimension."""
    found = []
    for head in (Several(7, 2 * K), nn.Linear(7, 2 * K)):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), head).double()
        with torch.no_grad():
            head.weight.copy_(torch.arange(14 * K).view(2 * K, 7) / 100)
            head.bias.zero_()
        x = torch.randn(N, 9, 5, dtype=torch.float64)
        attached = fa.attach(net, fa.DirectFeedbackAlignment(spatial=spatial), example=x)
        assert attached.feedback["0"].shape == (7, 2 * K)
        net(x).flatten(2).cos().sum().backward()
        found.append(net[0].weight.grad)
    assert torch.equal(*found)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_step_of_every_sample_is_a_row(rule):
    """Without a state between steps the network is that of steps * samples. Feedback once mixed the samples of a batch."""
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, N, 2, 4, 4, generator=rng, dtype=torch.float64)
    y = torch.randint(K, (STEPS, N), generator=rng)
    ours, attached = step(rule, x, y, x[:, :2])
    theirs, flat = step(rule, x.flatten(0, 1), y.flatten(), x[0, :2])
    assert {name: b.shape for name, b in attached.feedback.items()} == {
        name: b.shape for name, b in flat.feedback.items()
    }
    assert ours.keys() == theirs.keys()
    for name, grad in ours.items():
        assert distance(grad, theirs[name]) < 1e-12, name


class Encoder(nn.Module):
    """A stack of encoder layers that take steps first, as PyTorch's do by default, and a head on the mean over steps.

    Args:
        inside: Whether the network is of samples first, and only its layers are of steps first.
    """

    def __init__(self, inside: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inside = inside
        make = Turned if inside else nn.TransformerEncoderLayer
        self.layers = nn.ModuleList(make(8, 2, 16, dropout=0.0) for _ in range(2))
        self.head = nn.Linear(8, K)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1 if self.inside else 0))


class Turned(nn.TransformerEncoderLayer):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


@pytest.mark.parametrize("rule", ["dfa", "lafs", "drtp", "dkp"])
def test_as_many_steps_as_samples_are_not_taken_for_them(rule):
    """B mixed the samples of a batch, and targets belonged to steps: an error with 5 steps of 6 samples, silence with 6 of 6."""
    y = torch.randint(K, (N,))

    def step(inside: bool, x: Tensor, example: Tensor | None) -> None:
        net = Encoder(inside)
        attached = fa.attach(net, rule, example=example)
        attached.targets = y
        attached.loss(F.cross_entropy(net(x), y)).backward()
        assert net.layers[0].linear1.weight.grad.any()

    square, few = torch.randn(N, N, 8), torch.randn(2, N, 8)
    learned = fa.RULES[rule]().learned
    for inside in (True, False):
        with pytest.raises(
            ValueError, match=r"either of the first two dimensions can be the samples.*batch_first=True"
        ):
            step(inside, square, square if learned else None)
    with pytest.raises(ValueError, match="the same batch dimension first"):
        step(False, square, few.transpose(0, 1))
    step(True, square, few)
