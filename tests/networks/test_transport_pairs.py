"""Layers that nobody here knows, under transport: their own forward runs, W computes, and B carries the error."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.odd_layers import LAYERS, Conv1D, Low, Raw, Scaled, net_of
from tests.problems import assert_same, distance

F64 = torch.float64
X = torch.randn(7, 5, dtype=F64, generator=torch.Generator().manual_seed(3))


def gradients(net: nn.Module, x: Tensor = X, attached: fa.Attached | None = None, run=None) -> dict[str, Tensor]:
    net.zero_grad()
    x = x.clone().requires_grad_()
    out = (net if run is None else run)(x)
    loss = (out.square() * torch.arange(1, 1 + out.shape[-1], dtype=out.dtype)).sum()
    (loss if attached is None else attached.loss(loss)).backward()
    return {"x": x.grad, **{n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}}


def weights(attached: fa.Attached) -> dict[str, Tensor]:
    """The weight behind every B, by its name."""
    named = dict(attached.model.named_parameters())
    return {n: next(named[k] for k in (n, f"{n}.weight", f"{n}.weight_orig") if k in named) for n in attached.feedback}


def set_to(attached: fa.Attached, values: dict[str, Tensor]) -> None:
    for name, B in attached.feedback.items():
        B.copy_(values[name].detach())


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_with_a_forward_of_its_own_keeps_it_in_training(layer):
    """Training ran the forward of the base class and validation the layer's own: two networks, and no word about it."""
    net = net_of(layer)
    expected = net(X).detach()
    for rule in ("bp", "fa", "usf", "kp", "wm", "brsf", "pbp"):
        attached = fa.attach(net, rule)
        with torch.no_grad():
            assert torch.equal(net(X), expected)
        assert torch.equal(net(X), expected)
        attached.forget()
        attached.detach()
    assert torch.equal(net(X), expected)


class Observed(nn.Linear):
    """As in PyTorch's quantisation-aware training: one operator notes the range of W and rounds W to it."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__(fan_in, fan_out)
        for name, value in {"low": torch.inf, "high": -torch.inf, "scale": 1.0}.items():
            self.register_buffer(name, torch.tensor([value]))
        self.register_buffer("zero", torch.zeros(1, dtype=torch.int32))
        self.register_buffer("on", torch.ones(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        held = self.on, self.on, self.low, self.high, self.scale, self.zero
        return F.linear(x, torch.fused_moving_avg_obs_fake_quant(self.weight, *held, 0.5, -128, 127, 0), self.bias)


class Tracked(nn.Linear):
    """W is normalised, and its mean and variance are averaged over the steps."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__(fan_in, fan_out)
        self.register_buffer("mean", torch.zeros(fan_in))
        self.register_buffer("variance", torch.ones(fan_in))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.batch_norm(self.weight, self.mean, self.variance, training=True), self.bias)


@pytest.mark.parametrize("rule", ["bp", "fa", "usf", "kp", "brsf", "pbp"])
@pytest.mark.parametrize("layer", [Observed, Tracked])
def test_what_a_layer_notes_about_its_weight_says_nothing_of_b(layer, rule):
    """The operator ran once for W and once for B: the range of B decided how W was rounded."""
    torch.manual_seed(2)
    net = nn.Sequential(layer(5, 6), nn.Tanh(), layer(6, 4), nn.Tanh(), layer(4, 3))
    plain, x = copy.deepcopy(net), X.float()
    attached = fa.attach(net, rule, example=x)
    for _ in range(3):
        assert torch.equal(net(x), plain(x))
        attached.forget()
    assert all(torch.equal(b, dict(plain.named_buffers())[n]) for n, b in net.named_buffers() if "_feedback" not in n)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_control_is_autograd_on_any_layer(layer):
    """A control that refuses a network leaves every other rule on it without a comparison."""
    net = net_of(layer)
    expected = gradients(net)
    attached = fa.attach(net, "bp")
    assert_same(gradients(net), expected)
    attached.detach()
    assert_same(gradients(net), expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_with_w_for_b_a_pair_is_autograd(layer):
    """All that feedback alignment changes is B: with the same matrix nothing may differ."""
    net = net_of(layer)
    expected = gradients(net)
    attached = fa.attach(net, "fa")
    assert distance(gradients(net)["x"], expected["x"]) > 0.1  # every B is used, on the way down
    set_to(attached, weights(attached))
    assert all(distance(g, expected[n]) < 1e-13 for n, g in gradients(net).items())


@pytest.mark.parametrize("layer", [name for name in LAYERS if name not in ("patched", "scaled")])
def test_b_carries_the_error_as_the_layer_itself_would_with_b_for_w(layer):
    """Independent of the pairs: on detached pieces, a twin layer that holds B is asked for its own gradient."""
    net = net_of(layer)
    attached = fa.attach(net, "fa")
    ours = gradients(net)
    B = {name: b.clone() for name, b in attached.feedback.items()}
    names = {id(w): name for name, w in weights(attached).items()}
    attached.detach()
    twins = net_of(layer)
    twins.load_state_dict(net.state_dict())
    with torch.no_grad():
        for mine, theirs in zip(net.parameters(), twins.parameters()):
            if id(mine) in names:
                theirs.copy_(B[names[id(mine)]])
    expected, h, inputs = {}, X, []
    for module in net:
        inputs.append(h)
        h = module(h).detach()
    delta = 2 * h * torch.arange(1, 4, dtype=F64)
    for i in reversed(range(5)):
        here, there = (inputs[i].clone().requires_grad_() for _ in range(2))
        own = (
            torch.autograd.grad(net[i](here), list(net[i].parameters()), delta, retain_graph=True, allow_unused=True)
            if i % 2 == 0
            else ()
        )
        if layer != "low rank":
            expected |= {f"{i}.{n}": g for (n, _), g in zip(net[i].named_parameters(), own)}
        (delta,) = torch.autograd.grad((twins if i % 2 == 0 else net)[i](there), there, delta)
    expected["x"] = delta
    assert all(distance(ours[n], g) < 1e-13 for n, g in expected.items())


def test_two_matrices_within_one_forward_by_hand():
    """The lower of the two learns from B of the upper one: as two layers, and not as their product."""
    net = nn.Sequential(Low(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    attached = fa.attach(net, "fa")
    ours, B = gradients(net), attached.feedback
    U, V = net[0].U.detach(), net[0].V.detach()
    z = X @ U.T
    h = torch.tanh(z @ V.T)
    delta = 2 * F.linear(h, net[2].weight, net[2].bias).detach() * torch.arange(1, 4, dtype=F64)
    delta = (delta @ B["2"]) * (1 - h**2)
    assert distance(ours["0.V"], delta.T @ z) < 1e-13
    delta = delta @ B["0.V"]
    assert distance(ours["0.U"], delta.T @ X) < 1e-13
    assert distance(ours["x"], delta @ B["0.U"]) < 1e-13


def test_a_matrix_at_the_root_is_governed():
    """The table said that it carried nothing, and its true transpose carried the error."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.c = nn.Linear(5, 6), nn.Linear(6, 3)
            self.W, self.place = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(7, 5))

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.tanh(torch.tanh(self.a(x + self.place)) @ self.W))

    net = Net().double()
    expected = gradients(net)
    attached = fa.attach(net, "fa")
    ours = gradients(net)
    h = torch.tanh(net.a(X + net.place))
    k = torch.tanh(h @ net.W)
    delta = 2 * net.c(k) * torch.arange(1, 4, dtype=F64) @ attached.feedback["c"] * (1 - k**2)
    assert distance(ours["W"], h.T @ delta) < 1e-13
    delta = delta @ attached.feedback["W"].T * (1 - h**2)
    assert distance(ours["a.weight"], delta.T @ (X + net.place)) < 1e-13
    assert distance(ours["place"], delta @ attached.feedback["a"]) < 1e-13
    lines = {line.split()[0]: line for line in repr(attached).splitlines()[2:]}
    assert "B^T delta" in lines["W"]
    assert "none of the rule's: ungoverned, added" in lines["place"]
    set_to(attached, weights(attached))
    assert all(distance(g, expected[n]) < 1e-13 for n, g in gradients(net).items())


@pytest.mark.parametrize("rule", ["kp", "wm"])
def test_learned_feedback_of_an_unknown_layer_learns(rule):
    """For kp the gradient of B is that of W; for wm a lesson of its own, whatever the layer looks like."""
    net = nn.Sequential(Conv1D(5, 6), nn.Tanh(), Raw(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    attached = fa.attach(net, rule)
    gradients(net, X, attached)
    for name, B in attached.feedback.items():
        assert B.grad is not None, name
        assert B.grad.abs().max() > 0, name
        if rule == "kp":
            assert distance(B.grad, weights(attached)[name].grad) < 1e-14


def test_a_straight_through_function_on_the_weight_alone_stays_a_pair():
    """Binary networks are written like this."""

    class Sign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, w):
            return w.sign()

        @staticmethod
        def backward(ctx, delta):
            return delta

    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), Raw(6, 3, lambda x, w: F.linear(x, Sign.apply(w)))).double()
    expected = gradients(net)
    attached = fa.attach(net, "fa")
    assert distance(gradients(net)["0.weight"], expected["0.weight"]) > 0.1
    set_to(attached, weights(attached))
    assert all(distance(g, expected[n]) < 1e-13 for n, g in gradients(net).items())


@pytest.mark.parametrize("layer", ["scaled", "pruned", "patched", "listed"])
def test_taken_out_the_rule_leaves_no_trace(layer):
    """A module that keeps a pair or a moved forward is another module."""
    net = net_of(layer)
    before = [(type(m), dict(m.__dict__).keys(), list(m._parameters), list(m._buffers)) for m in net.modules()]
    attached = fa.attach(net, "kp")
    gradients(net, X, attached)
    attached.detach()
    net.zero_grad()
    assert before == [(type(m), dict(m.__dict__).keys(), list(m._parameters), list(m._buffers)) for m in net.modules()]


@pytest.mark.parametrize("layer", ["conv1d", "patched"])
def test_set_aside_for_a_measurement_the_rule_is_in_force_again(layer):
    """A forward on the instance came back before the rule: every step after a monitor's was backprop in that layer."""
    net = net_of(layer)
    expected = gradients(net)
    attached = fa.attach(net, "fa")
    with attached.suspended():
        assert_same(gradients(net), expected)
    ours = gradients(net)
    with attached.suspended():
        assert_same(gradients(net), expected)
    assert_same(gradients(net), ours)
    assert distance(ours["x"], expected["x"]) > 0.1


def test_it_copies_and_pickles():
    """A copy that shares a port with its original trains the wrong network."""
    net = nn.Sequential(Conv1D(5, 6), nn.Tanh(), Scaled(6, 3)).double()
    fa.attach(net, "fa")
    expected = gradients(copy.deepcopy(net))
    file = io.BytesIO()
    pickle.dump(net, file)
    file.seek(0)
    loaded = pickle.load(file)
    assert_same(gradients(loaded), expected)
    assert_same(gradients(net), expected)


def test_checkpointing_changes_nothing():
    """The second forward must present the same pairs."""
    net = net_of("conv1d")
    attached = fa.attach(net, "brsf")
    expected = gradients(net)
    again = net_of("conv1d")
    again.load_state_dict(net.state_dict())
    fa.attach(again, "brsf")
    run = lambda x: again[4](torch.utils.checkpoint.checkpoint(lambda h: again[:4](h), x, use_reentrant=False))  # noqa: E731
    assert_same(gradients(again, X, run=run), expected)
    del attached


def test_autocast_gives_the_dtypes_of_a_known_layer():
    """In mixed precision W is cast inside the operator: both of a pair must be."""
    net = nn.Sequential(Conv1D(5, 6), nn.Tanh(), Raw(6, 4, torch.nn.functional.linear), nn.Tanh(), Scaled(4, 3))
    x = X.float()
    with torch.autocast("cpu", torch.bfloat16):
        expected = net(x)
        fa.attach(net, "fa")
        out = net(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, expected)
    out.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in net.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # Dynamo's own
def test_compiled_it_is_the_same():
    """A graph break for what the compiler does not follow; never another result."""
    torch._dynamo.reset()
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), Conv1D(6, 6), nn.Tanh(), Scaled(6, 3)).double()
    fa.attach(net, "fa")
    expected = gradients(net)
    compiled = torch.compile(net, backend="aot_eager")
    assert all(distance(g, expected[n]) < 1e-13 for n, g in gradients(net, X, run=compiled).items())
    torch._dynamo.reset()
