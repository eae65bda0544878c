"""Transport rules against their closed forms in float64, and what their theory promises after several steps."""

import copy
import io
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.stream import stream, uniform
from tests.problems import assert_same, distance

F64 = torch.float64


def tanh_net(*widths: int) -> nn.Sequential:
    layers = [m for i, o in itertools.pairwise(widths) for m in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*layers[:-1]).double()


def batch(inputs: int = 7, outputs: int = 4) -> tuple[Tensor, Tensor]:
    return torch.randn(6, inputs, dtype=F64), torch.randint(outputs, (6,))


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}


def expected(model: nn.Module, data: tuple[Tensor, Tensor], carriers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of the weights, from the equations of spec 0.1 with a matrix B^l for each layer."""
    (x, y), layers = data, list(linears(model).items())
    h = [x]
    for _, layer in layers:
        h.append(torch.tanh(h[-1] @ layer.weight.detach().T + layer.bias.detach()))
    a = h[-2] @ layers[-1][1].weight.detach().T + layers[-1][1].bias.detach()
    delta = (a.softmax(1) - F.one_hot(y, a.shape[1])) / len(y)
    gradients = {}
    for (name, _), below in reversed(list(zip(layers, h))):
        gradients[f"{name}.weight"] = delta.T @ below
        delta = (delta @ carriers[name]) * (1 - below**2)
    return gradients


def backward(model: nn.Module, data: tuple[Tensor, Tensor], attached: fa.Attached, c: float = 1.0) -> dict[str, Tensor]:
    model.zero_grad()
    (c * attached.loss(F.cross_entropy(model(data[0]), data[1]))).backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def weights(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: g for n, g in gradients.items() if n.endswith(".weight")}


def magnitudes(seed: int, name: str, step: int, shape: torch.Size) -> Tensor:
    """brSF's M, from 32-bit arithmetic in Python integers."""

    def mix(v: int) -> int:
        v = ((v ^ (v >> 16)) * 0x7FEB352D) % 2**32
        v = ((v ^ (v >> 15)) * 0x846CA68B) % 2**32
        return v ^ (v >> 16)

    key, other, _ = stream(seed, name).tolist()
    base = mix((mix(step ^ key) + other) % 2**32)
    u = [mix((mix(i ^ base) + key) % 2**32) // 256 / 2**24 for i in range(shape.numel())]
    return torch.tensor(u, dtype=F64).reshape(shape) * (6 / sum(shape)) ** 0.5


def carriers_of(rule: str, model: nn.Module, attached: fa.Attached) -> dict[str, Tensor]:
    """B of every layer, by numpy where there is something to compute."""
    found = {}
    for name, layer in linears(model).items():
        W = layer.weight.detach().numpy()
        if rule == "usf":
            B = np.sign(W) * np.sqrt(2 / (W.shape[0] + W.shape[1]))
        elif rule == "frsf":
            B = np.sign(W) * np.abs(attached.feedback[name].numpy())
        elif rule == "brsf":
            B = (
                np.sign(W)
                * magnitudes(
                    0, name, int(attached.state_dict()["feedback"][f"{name}.stream"][-1]), layer.weight.shape
                ).numpy()
            )
        elif rule == "pbp":
            u, s, v = np.linalg.svd(W, full_matrices=False)
            B = u @ np.diag(1 / s) @ v
        else:
            B = attached.feedback[name].detach().numpy()
        found[name] = torch.from_numpy(np.ascontiguousarray(B)).clone()
    return found


@pytest.mark.parametrize("rule", ["usf", "frsf", "brsf", "pbp", "kp", "wm", "fa_sparse"])
def test_gradients_equal_the_closed_form_over_three_steps(rule):
    """A transposed, stale or wrongly scaled matrix makes every result published under the rule's name wrong."""
    model = tanh_net(7, 9, 8, 4)
    attached = fa.attach(model, rule)
    plain = {n: layer.weight.detach().clone() for n, layer in linears(model).items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(3):
        data = batch()
        closed = expected(model, data, carriers_of(rule, model, attached))
        backprop = expected(model, data, {n: layer.weight.detach() for n, layer in linears(model).items()})
        held = attached.state_dict()["feedback"]
        masks = {n.removesuffix(".mask"): m for n, m in held.items() if n.endswith(".mask")}
        ours = weights(backward(model, data, attached))
        for name, g in closed.items():
            g = g * masks.get(name.removesuffix(".weight"), 1)
            assert (ours[name] - g).abs().max() < 1e-12
        assert distance(ours["0.weight"], backprop["0.weight"]) > 0.05
        optimizer.step()
    assert all(distance(layer.weight.detach(), plain[n]) > 1e-4 for n, layer in linears(model).items())


def test_signed_initialisation_keeps_the_signs_of_the_first_weights():
    """Signs that follow W would be sign symmetry, another rule with far better results."""
    model = tanh_net(7, 9, 8, 4)
    before = {n: layer.weight.detach().sign() for n, layer in linears(model).items()}
    attached = fa.attach(model, fa.FeedbackAlignment(signed=True))
    assert_same({n: b.sign() for n, b in attached.feedback.items()}, before)
    with torch.no_grad():
        model[2].weight.neg_()
    assert torch.equal(attached.feedback["2"].sign(), before["2"])
    assert distance(attached.feedback["0"].abs(), fa.attach(tanh_net(7, 9, 8, 4), "fa").feedback["0"].abs()) < 1e-12


def test_the_root_mean_square_magnitude_keeps_the_norm_of_the_weights():
    """Strict normalisation compares directions: with another norm the learning rate of lower layers differs."""
    W = torch.randn(5, 4, 3, dtype=F64)
    B = fa.UniformSignSymmetry(magnitude="rms").carrier(W, None)
    assert distance(B.norm(), W.norm()) < 1e-12
    assert torch.equal(fa.UniformSignSymmetry(magnitude=0.5).carrier(W, None), 0.5 * W.sign())
    with pytest.raises(ValueError, match="Expected argument `magnitude`"):
        fa.UniformSignSymmetry(magnitude="max")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_kolen_pollack_feedback_approaches_the_weights_at_the_rate_of_the_decay(momentum):
    """This is the rule's whole claim: D = B - W must follow the decay alone, whatever the data."""
    lr, decay = 0.3, 0.2
    model = tanh_net(7, 9, 8, 4)
    attached = fa.attach(model, "kp")
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=decay)
    gap = lambda: (attached.feedback["2"] - model[2].weight).detach().clone()  # noqa: E731
    start = gap()
    D, v, W = start, torch.zeros(8, 9, dtype=F64), model[2].weight.detach().clone()
    for _ in range(6):
        backward(model, batch(), attached)
        optimizer.step()
        v = momentum * v + decay * D
        D = D - lr * v
        assert (gap() - D).abs().max() < 1e-12
    assert distance(model[2].weight.detach(), W) > 0.1
    if not momentum:
        assert distance(gap(), (1 - lr * decay) ** 6 * start) < 1e-12


def test_kolen_pollack_under_adamw_shrinks_exactly_as_well():
    """Decoupled decay is outside of the moments, which are equal for equal gradients."""
    model = tanh_net(7, 9, 4)
    attached = fa.attach(model, "kp")
    start = (attached.feedback["2"] - model[2].weight).detach()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(4):
        backward(model, batch(), attached)
        optimizer.step()
    assert distance((attached.feedback["2"] - model[2].weight).detach(), 0.95**4 * start) < 1e-9


def test_a_frozen_weight_freezes_its_kolen_pollack_feedback():
    """B would go on learning from gradients that W no longer follows, and lose it."""
    model = tanh_net(7, 9, 4)
    attached = fa.attach(model, "kp")
    model[2].weight.requires_grad_(False)
    assert {n for n in backward(model, batch(), attached) if "_feedback" in n} == {"0._feedback"}


def test_weight_mirror_feedback_receives_the_correlation_of_its_noise():
    """The gradient of B from the documented formula, and its factor: a scaled loss must scale it."""
    model = tanh_net(7, 9, 4)
    attached = fa.attach(model, fa.WeightMirror(samples=5, decay=0.7))
    state = attached.state_dict()["feedback"]["2.stream"]
    xi = (2 * uniform(state, (5, 9)).double() - 1) * 3**0.5
    W, B = model[2].weight.detach(), attached.feedback["2"].detach().clone()
    ours = backward(model, batch(), attached, c=8.0)["2._feedback"]
    mirrored = sum(torch.outer(W @ n, n) for n in xi) / 5
    assert distance(ours, 8 * (0.7 * B - mirrored)) < 1e-6  # the noise is float32
    assert abs(xi.mean()) < 0.5


def test_weight_mirror_feedback_becomes_the_weights():
    """The paper's claim; the weights rest, so that only the mirror can have done it."""
    model = tanh_net(7, 9, 4)
    attached = fa.attach(model, fa.WeightMirror(samples=64))
    optimizer = torch.optim.SGD([p for n, p in model.named_parameters() if "_feedback" in n], lr=0.05)
    start = distance(attached.feedback["2"].detach(), model[2].weight.detach())
    for _ in range(200):
        backward(model, batch(), attached)
        optimizer.step()
    assert start > 0.9
    assert distance(attached.feedback["2"].detach(), model[2].weight.detach()) < 0.25


def test_weight_mirror_without_the_joined_loss_is_an_error():
    """B would rest, and the network train by plain feedback alignment under the mirror's name."""
    model, (x, y) = tanh_net(7, 9, 4), batch()
    fa.attach(model, "wm")
    with pytest.raises(RuntimeError, match=r"attached\.loss"):
        F.cross_entropy(model(x), y).backward()


def test_pseudobackprop_is_the_gauss_newton_step():
    """Lillicrap's proof 2: W^+ e = -J^+ e with J = de/dh = -W, also where W has not full rank."""
    W = torch.randn(3, 2, dtype=F64) @ torch.randn(2, 6, dtype=F64)
    e = torch.randn(3, dtype=F64)
    ours = fa.Pseudobackpropagation().carrier(W, None).T @ e
    gauss_newton = torch.linalg.lstsq(W, e, driver="gelsd").solution
    assert (ours - gauss_newton).abs().max() < 1e-10


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_pseudobackprop_inverts_each_group_of_a_convolution(groups):
    """The matrix of all groups together has another inverse, which mixes channels that the layer does not connect."""
    net = nn.Sequential(nn.Conv2d(4, 8, 3, groups=groups)).double()
    fa.attach(net, "pbp")
    x = torch.randn(1, 4, 3, 3, dtype=F64, requires_grad=True)
    out = net(x)
    delta = torch.randn_like(out)
    out.backward(delta)
    W = net[0].weight.detach().reshape(groups, 8 // groups, -1).numpy()
    d = delta.reshape(groups, 8 // groups, 1).numpy()
    assert (
        np.abs(x.grad.numpy().ravel() - np.concatenate([np.linalg.pinv(w) @ v for w, v in zip(W, d)]).ravel()).max()
        < 1e-12
    )


OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_missing_synapses_stay_missing(optimizer):
    """Entries that grow back make the sparse network a dense one within an epoch, and its result the dense one's."""
    model = tanh_net(20, 30, 20, 4)
    attached = fa.attach(model, "fa_sparse")
    first = model[2].weight.detach().clone()
    W, B = (first != 0), (attached.feedback["2"] != 0)
    assert 0.4 < W.double().mean() < 0.6
    assert 0.4 < B.double().mean() < 0.6
    assert 0.2 < (W & B).double().mean() < 0.3
    step = OPTIMIZERS[optimizer](model.parameters())
    for _ in range(5):
        backward(model, batch(20), attached)
        step.step()
    assert torch.equal(model[2].weight != 0, W)
    assert distance(model[2].weight.detach(), first) > 0.1
    x = batch(20)[0]
    out = model(x)
    with torch.no_grad():
        assert torch.equal(model(x), out)
    attached.detach()
    assert torch.equal(model(x), out)


def test_magnitudes_are_new_in_every_step_and_the_same_again_after_resume():
    """Magnitudes that repeat are frSF; magnitudes that differ between ranks or after resume are irreproducible."""
    model, data = tanh_net(7, 9, 8, 4), batch()
    attached = fa.attach(model, "brsf")
    state = torch.get_rng_state()
    steps = [backward(model, data, attached)["0.weight"] for _ in range(3)]
    assert torch.equal(torch.get_rng_state(), state)
    assert distance(steps[1], steps[0]) > 0.05
    file = io.BytesIO()
    torch.save(attached.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(attached)
    with torch.no_grad():
        model(data[0])  # costs no step
    following = backward(model, data, attached)["0.weight"]
    again = tanh_net(7, 9, 8, 4)
    again.load_state_dict(model.state_dict())
    resumed = fa.attach(again, "brsf")
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(backward(again, data, resumed)["0.weight"], following)
    assert torch.equal(backward(other.model, data, other)["0.weight"], following)
    assert distance(following, steps[2]) > 0.05


def test_a_stream_is_uniform_and_its_steps_and_layers_are_independent():
    """A weak hash would correlate the magnitudes of neighbouring weights or steps, without any visible error."""
    state = stream(0, "a")
    draws = [uniform(state + torch.tensor([0, 0, t]), (20000,)).double() for t in range(3)]
    draws.append(uniform(stream(0, "b"), (20000,)).double())
    draws.append(uniform(stream(1, "a"), (20000,)).double())
    draws.append(draws[0].roll(1))
    for u in draws:
        assert abs(u.mean() - 0.5) < 0.01
        assert abs(u.var() - 1 / 12) < 0.003
        assert torch.histc(u, 20, 0, 1).sub(1000).abs().max() < 150
    correlation = torch.corrcoef(torch.stack(draws))
    assert (correlation - torch.eye(len(draws), dtype=F64)).abs().max() < 0.03


@pytest.mark.parametrize("rule", ["brsf", "wm"])
def test_recomputed_activations_see_the_same_draw(rule):
    """Checkpointing must not change the experiment: the recomputed forward pass belongs to the step of the first."""
    from torch.utils.checkpoint import checkpoint

    class Net(nn.Module):
        def __init__(self, on):
            super().__init__()
            self.a, self.b, self.c, self.on = nn.Linear(7, 9), nn.Linear(9, 8), nn.Linear(8, 4), on

        def forward(self, x):
            inner = lambda h: torch.tanh(self.b(h))  # noqa: E731
            h = torch.tanh(self.a(x))
            return self.c(checkpoint(inner, h, use_reentrant=False) if self.on else inner(h))

    plain, saving = Net(False).double(), Net(True).double()
    saving.load_state_dict(plain.state_dict())
    one, two = fa.attach(plain, rule), fa.attach(saving, rule)
    for _ in range(2):
        data = batch()
        assert_same(backward(saving, data, two), backward(plain, data, one))


# -- two networks ----------------------------------------------------------------------------------------------------------


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.forward_net, self.reverse_net = tanh_net(7, 6, 6, 6, 4), tanh_net(5, 6, 6, 6, 3)

    def forward(self, x: Tensor, x_r: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_net(x), self.reverse_net(x_r)


@pytest.mark.parametrize("pairing", ["same", "reversed"])
@pytest.mark.parametrize("coupled", ["none", "backward", "both"])
def test_two_networks_are_each_others_feedback(coupled, pairing):
    """Eqs. 5-8: a stale copy, a wrong pair or a missing transpose shows only as a smaller cosine in figure 3."""
    pair = Pair()
    attached = fa.attach(pair, fa.BidirectionalFeedbackAlignment(coupled=coupled, pairing=pairing))
    optimizer = torch.optim.SGD(pair.parameters(), lr=0.3)
    for _ in range(3):
        data, data_r = batch(7, 4), batch(5, 3)
        W, V = ({n: layer.weight.detach().clone() for n, layer in linears(net).items()} for net in pair.children())
        B = {n: attached.feedback.get(f"forward_net.{n}", torch.nan * w) for n, w in W.items()}
        C = {n: attached.feedback.get(f"reverse_net.{n}", torch.nan * w) for n, w in V.items()}
        other = {"2": "2", "4": "4"} if pairing == "same" else {"2": "4", "4": "2"}
        for own, partner in other.items():
            if coupled != "none":
                B[own] = V[partner] if pairing == "same" else V[partner].T
            if coupled == "both":
                C[partner] = W[own] if pairing == "same" else W[own].T
        closed = expected(pair.forward_net, data, B), expected(pair.reverse_net, data_r, C)
        optimizer.zero_grad()
        out, out_r = pair(data[0], data_r[0])
        (F.cross_entropy(out, data[1]) + F.cross_entropy(out_r, data_r[1])).backward()
        for net, want in zip(pair.children(), closed):
            for name, g in want.items():
                assert (net.get_parameter(name).grad - g).abs().max() < 1e-12
        optimizer.step()
    held = {"none": 8, "backward": 6, "both": 4}[coupled]
    assert len(attached.feedback) == held
    twin = copy.deepcopy(attached)
    assert twin.model.forward_net[2]._feedback_port.partner in (
        None,
        twin.model.reverse_net[2],
        twin.model.reverse_net[4],
    )


def test_two_separate_modules_are_paired_and_released():
    """For users without a common module."""
    one, two = tanh_net(7, 6, 6, 4), tanh_net(5, 6, 6, 3)
    attached = fa.attach_pair(one, two, coupled="both")
    assert "reverse_net.2^T delta" in repr(attached)
    attached.detach()
    assert type(one[2]) is type(two[2]) is nn.Linear


def test_networks_that_do_not_fit_are_refused():
    """Silently uncoupled they would be two plain networks, and the paper's figure 2 trivially true."""
    pair = Pair()
    pair.reverse_net = tanh_net(5, 6, 7, 6, 3)
    with pytest.raises(ValueError, match="square"):
        fa.attach(pair, fa.BidirectionalFeedbackAlignment())
    pair.reverse_net = tanh_net(5, 6, 3)
    with pytest.raises(ValueError, match="equally many"):
        fa.attach(pair, fa.BidirectionalFeedbackAlignment())
    assert type(pair.forward_net[2]) is nn.Linear
