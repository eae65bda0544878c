"""Rules whose blocks learn from the targets: by losses of their own, or by a projection."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import assert_close, distance, read

EPS = torch.finfo(torch.float64).eps
N, K = 6, 4


def network() -> nn.Sequential:
    layers = [nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, K)]
    return nn.Sequential(*layers).double()


def step(model: nn.Module, attached: fa.Attached, x: Tensor, y: Tensor, c: float = 1) -> dict[str, Tensor]:
    model.zero_grad()
    attached.targets = y
    (c * attached.loss(F.cross_entropy(model(x), y))).backward()
    return read(model)


def cosines(x: Tensor) -> Tensor:
    x = x - x.mean(1, keepdim=True)
    return F.cosine_similarity(x[:, None], x[None], dim=2)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("c", [1.0, 65536.0])
def test_targets_are_projected_whatever_the_output_is(reduction, c):
    """DRTP has no error at all: what hidden blocks receive depends on the label alone, and on no factor but the loss'."""
    model, x, y = network(), torch.randn(N, 7).double(), torch.randint(K, (N,))
    attached = fa.attach(model, fa.DirectRandomTargetProjection(reduction=reduction))
    h1 = torch.tanh(F.linear(x, model[0].weight, model[0].bias)).detach()
    h2 = torch.tanh(F.linear(h1, model[2].weight, model[2].bias)).detach()
    ours = step(model, attached, x, y, c)
    n = N if reduction == "mean" else 1
    for i, below, h in ((0, x, h1), (2, h1, h2)):
        delta = c * (F.one_hot(y, K).double() @ attached.feedback[str(i)].T) / n * (1 - h**2)
        assert distance(ours[f"{i}.weight"], delta.T @ below) <= 64 * EPS


@pytest.mark.parametrize("loss", ["pred", "sim", "predsim"])
def test_blocks_and_their_classifiers_descend_the_local_loss(loss):
    """beta weighs similarity against prediction, and both terms must reach the block and its own small layers."""
    model, x, y = network(), torch.randn(N, 7).double(), torch.randint(K, (N,))
    attached = fa.attach(model, fa.LocalLosses(loss=loss, beta=0.7))
    theta = {name: b for name, b in attached.feedback.items() if b.is_floating_point()}
    with torch.no_grad():
        for b in theta.values():
            b.normal_()
    ours = step(model, attached, x, y, 3)
    h, expected = x, {}
    for i in (0, 2):
        own = {k[2:]: b.detach().requires_grad_() for k, b in theta.items() if k[0] == str(i)}
        W, b = model[i].weight, model[i].bias
        h = torch.tanh(F.linear(h, W, b))
        pred = F.cross_entropy(h @ own["P"].T + own["p"], y) if loss != "sim" else 0
        sim = (cosines(h @ own["Q"].T) - cosines(F.one_hot(y, K).double())).square().mean() if loss != "pred" else 0
        total = {"pred": pred, "sim": sim, "predsim": 0.3 * pred + 0.7 * sim}[loss]
        grads = torch.autograd.grad(3 * total, [W, b, *own.values()])
        expected |= dict(zip([f"{i}.weight", f"{i}.bias", *[f"{i}._feedback_{k}" for k in own]], grads))
        h = h.detach()
    loss_at_head = F.cross_entropy(F.linear(h, model[4].weight, model[4].bias), y)
    head = torch.autograd.grad(3 * loss_at_head, [model[4].weight, model[4].bias])
    expected |= dict(zip(("4.weight", "4.bias"), head))
    assert_close(ours, expected, EPS, rounds=256)


def test_feature_maps_are_pooled_for_prediction_and_reduced_to_deviations_for_similarity():
    """A classifier on all units of an early feature map would be larger than the network."""
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, K)
    )
    x, y = torch.randn(N, 3, 8, 8), torch.randint(K, (N,))
    attached = fa.attach(model, fa.LocalLosses(pooled=300), example=x)
    shapes = {k: tuple(b.shape) for k, b in attached.feedback.items() if k[0] == "0"}
    assert shapes == {"0.P": (K, 16 * 4 * 4), "0.p": (K,), "0.Q": (16, 16, 3, 3)}
    step(model, attached, x, y)  # the first step gives P a value
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.5 * p.grad
    theta = {k: b.detach() for k, b in attached.feedback.items()}
    h = F.conv2d(x, model[0].weight, model[0].bias, padding=1).relu()
    pred = F.cross_entropy(F.avg_pool2d(h, 2).flatten(1) @ theta["0.P"].T + theta["0.p"], y)
    mixed = F.conv2d(h, theta["0.Q"], padding=1).flatten(2).std(2)
    sim = (cosines(mixed) - cosines(F.one_hot(y, K).float())).square().mean()
    (expected,) = torch.autograd.grad(0.01 * pred + 0.99 * sim, model[0].weight)
    assert distance(step(model, attached, x, y)["0.weight"], expected) < 1e-4


class Steps(nn.Module):
    """Scores the mean of a sequence or its last step. Between its layers lie maps of (samples, steps, units)."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        self.last, self.low, self.next, self.head = last, nn.Linear(7, 9), nn.Linear(9, 8), nn.Linear(8, K)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.next(torch.tanh(self.low(x))))
        return self.head(h[:, -1] if self.last else h.mean(1))


def speaking(model: nn.Module, x: Tensor) -> tuple[fa.Attached, dict[str, Tensor]]:
    """With a P that says something, and what the first block holds, by letter."""
    attached = fa.attach(model, fa.LocalLosses(beta=0.4), example=x)
    theta = {k[4:]: b for k, b in attached.feedback.items() if k.startswith("low.")}
    with torch.no_grad():
        for b in theta.values():
            b.normal_(std=0.3)
    return attached, {letter: b.detach() for letter, b in theta.items()}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("longer", [1, 2])
def test_the_units_of_a_sequence_are_its_channels_and_time_is_space(last, longer):
    """Time steps were taken for channels: Q mixed neighbouring units, and another length was an error."""
    model, x, y = Steps(last), torch.randn(N, 5, 7).double(), torch.randint(K, (N,))
    attached, theta = speaking(model, x[:2])
    assert {letter: tuple(b.shape) for letter, b in theta.items()} == {"P": (K, 9 * 5), "p": (K,), "Q": (9, 9, 3)}
    x = torch.randn(N, 5 * longer, 7).double()
    ours = step(model, attached, x, y)
    h = torch.tanh(F.linear(x, model.low.weight, model.low.bias))
    grid = h.unflatten(1, (5, longer)).mean(2)
    pred = F.cross_entropy(torch.einsum("ntc,kct->nk", grid, theta["P"].view(K, 9, 5)) + theta["p"], y)
    around = torch.cat([torch.zeros(N, 1, 9).double(), h, torch.zeros(N, 1, 9).double()], 1)
    mixed = sum(around[:, i : i + 5 * longer] @ theta["Q"][:, :, i].T for i in range(3))
    sim = (cosines(mixed.std(1)) - cosines(F.one_hot(y, K).double())).square().mean()
    (expected,) = torch.autograd.grad(0.6 * pred + 0.4 * sim, model.low.weight)
    assert distance(ours["low.weight"], expected) <= 256 * EPS


def test_names_of_the_units_of_a_sequence_do_not_matter():
    """A convolution over units gave neighbours a meaning that no unit of a sequence has."""
    model, x, y, order = Steps(False), torch.randn(N, 5, 7).double(), torch.randint(K, (N,)), torch.randperm(9)
    attached, theta = speaking(model, x)
    ours = step(model, attached, x, y)["low.weight"]
    with torch.no_grad():
        for p in (model.low.weight, model.low.bias):
            p.copy_(p[order])
        theta["P"].copy_(theta["P"].view(K, 9, 5)[:, order].flatten(1))
        theta["Q"].copy_(theta["Q"][order][:, order])
    assert distance(step(model, attached, x, y)["low.weight"], ours[order]) <= 256 * EPS


@pytest.mark.parametrize("steps", [1, 4, 11])
def test_a_sequence_of_any_length_teaches(steps):
    """Shorter than the grid of P, or a single step."""
    model, y = Steps(True), torch.randint(K, (N,))
    attached, _ = speaking(model, torch.randn(2, 5, 7).double())
    gradient = step(model, attached, torch.randn(N, steps, 7).double(), y)["low.weight"]
    assert gradient.isfinite().all()
    assert gradient.any()


@pytest.mark.parametrize(
    "layer",
    [
        nn.GRU(7, 7, batch_first=True),
        nn.LSTM(7, 7, batch_first=True),
        nn.TransformerEncoderLayer(7, 1, 9, batch_first=True),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_of_sequences_have_units_for_channels(layer):
    """A recurrent layer has no attribute that names its width, and as many steps as units leave the last dimension."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.next, self.head = copy.deepcopy(layer), nn.Linear(7, 8), nn.Linear(8, K)

        def forward(self, x: Tensor) -> Tensor:
            h = self.low(x)
            return self.head(self.next(h[0] if isinstance(h, tuple) else h).tanh().mean(1))

    for steps in (5, 7):
        attached = fa.attach(Net(), "local", example=torch.randn(2, steps, 7))
        assert attached.feedback["low.Q"].shape == (7, 7, 3)
        assert attached.feedback["low.P"].shape == (K, 7 * steps)


def test_dead_units_give_no_nan():
    """A sample whose features are all equal has no direction, and the gradient of its norm must not poison the rest."""
    model = nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, K))
    with torch.no_grad():
        model[0].bias.fill_(-100)
    attached = fa.attach(model, "local")
    for g in step(model, attached, torch.randn(N, 7), torch.randint(K, (N,))).values():
        assert g.isfinite().all()
    step(model, attached, torch.randn(1, 7), torch.randint(K, (1,)))


def test_a_sample_at_rest_has_no_direction_to_learn():
    """A spiking unit has a slope at rest: the gradient of the direction of zero, 1e8, once reached the weights through it."""
    rule, y = fa.LocalLosses(loss="sim"), torch.randint(K, (N,))
    theta = {letter: t.double() for letter, t in rule.initial("block", [9], K).items()}
    h = torch.randn(N, 9, dtype=torch.float64)
    h[0] = 0
    rule.local_loss(h.requires_grad_(), y, theta).backward()
    others = h.detach()[1:].requires_grad_()
    wanted = cosines(F.one_hot(y, K).double())
    (cosines(others @ theta["Q"].T) - wanted[1:, 1:]).square().sum().div(N * N).backward()
    assert torch.equal(h.grad[0], torch.zeros(9, dtype=torch.float64))
    assert distance(h.grad[1:], others.grad) <= 256 * EPS


def test_local_classifiers_learn_with_the_models_own_optimizer():
    """They must be found by ``model.parameters()`` and be no part of the model's state."""
    model, x, y = network(), torch.randn(N, 7).double(), torch.randint(K, (N,))
    keys = model.state_dict().keys()
    attached = fa.attach(model, fa.LocalLosses(loss="pred"))
    assert model.state_dict().keys() == keys
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        step(model, attached, x, y)
        optimizer.step()
    with torch.no_grad():
        h = torch.tanh(model[0](x))
        assert F.cross_entropy(h @ attached.feedback["0.P"].T + attached.feedback["0.p"], y) < 0.1
