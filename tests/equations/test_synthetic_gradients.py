"""Synthetic gradients: what blocks receive, what predictors learn from, and the state that warm-up keeps."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import assert_close, assert_same, distance, read

EPS = torch.finfo(torch.float64).eps
N, K = 6, 4
SG, PROP = fa.SyntheticGradient, fa.SyntheticGradientPropagation


def network() -> nn.Sequential:
    layers = [nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, K)]
    return nn.Sequential(*layers).double()


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(N, 7, dtype=torch.float64), torch.randint(K, (N,))


def attach(model: nn.Module, rule: fa.Rule) -> fa.Attached:
    """With predictors that do predict something."""
    attached = fa.attach(model, rule)
    with torch.no_grad():
        for b in attached.feedback.values():
            if b.is_floating_point():
                b.normal_(std=0.3)
    return attached


def step(model: nn.Sequential, attached: fa.Attached, x: Tensor, y: Tensor, c: float = 1) -> dict[str, Tensor]:
    model.zero_grad()
    attached.targets = y
    (c * attached.loss(F.cross_entropy(model(x), y))).backward()
    return read(model)


def predict(kind: str, h: Tensor, y: Tensor, t: dict[str, Tensor]) -> Tensor:
    """The paper's modules, and Jaderberg's with one hidden layer."""
    if kind == "mlp":
        return torch.relu(h @ t["U"] + y @ t["V"] + t["b"]) @ t["A"] + t["C"]
    return (t["D"] * torch.sigmoid(h @ t["A"]) if kind == "sigmoid" else h @ t["A"]) + y @ t["B"] + t["C"]


@pytest.mark.parametrize("kind", ["linear", "sigmoid", "mlp"])
@pytest.mark.parametrize(("alpha", "share"), [(0.0, 1.0), (0.3, 1.0), (0.7, 0.0)])
@pytest.mark.parametrize("c", [1.0, 65536.0])
def test_blocks_and_predictors_learn_by_the_equations(kind, alpha, share, c):
    """Bootstrapped from top to bottom with per-sample targets; the factor before the loss in everything, once."""
    model, (x, y) = network(), batch()
    rule = PROP(predictor=kind, alpha=alpha, alone=share == 0) if alpha else SG(predictor=kind)
    attached = attach(model, rule)
    ours = step(model, attached, x, y, c)

    theta = [
        {k[2:]: b.detach().clone().requires_grad_() for k, b in attached.feedback.items() if k[0] == i} for i in "02"
    ]
    labels = F.one_hot(y, K).double()
    attached.detach()
    layer = [lambda h, m=m: F.linear(h, *m) for m in [(model[i].weight, model[i].bias) for i in (0, 2, 4)]]
    expected: dict[str, Tensor] = {}
    h = [x]
    for f in layer[:2]:
        h.append(torch.tanh(f(h[-1].detach())))
    cut = h[2].detach().requires_grad_()
    loss = F.cross_entropy(layer[2](cut), y, reduction="sum")
    target, *head = torch.autograd.grad(loss, [cut, model[4].weight, model[4].bias])
    expected |= {"4.weight": head[0], "4.bias": head[1]}
    for i in (1, 0):
        seen = h[i + 1].detach().requires_grad_()
        s = predict(kind, seen, labels, theta[i])
        sg_loss = (s - target).square().sum()
        slope, *lessons = torch.autograd.grad(sg_loss, [seen, *theta[i].values()])
        expected |= {f"{2 * i}._feedback_{k}": g for k, g in zip(theta[i], lessons)}
        delta = share * s.detach() + alpha * slope
        below = h[i].detach().requires_grad_()
        out = torch.tanh(layer[i](below))
        target, weight, bias = torch.autograd.grad(out, [below, model[2 * i].weight, model[2 * i].bias], delta)
        expected |= {f"{2 * i}.weight": weight, f"{2 * i}.bias": bias}
    assert_close(ours, {name: c * g / N for name, g in expected.items()}, EPS)


def test_predictors_that_know_the_gradient_give_backprop():
    """Proposition 1: with SG = dL/dh the system is backprop's. One linear block under squared error can be solved for."""
    model, n = nn.Sequential(nn.Linear(7, 9), nn.Linear(9, K)).double(), 5
    x, y = torch.randn(n, 7).double(), torch.randn(n, K).double()
    plain = copy.deepcopy(model)
    (0.5 * (plain(x) - y).square().sum() / n).backward()
    attached = fa.attach(model, "sg")
    W, b = model[1].weight.detach(), model[1].bias.detach()
    for letter, value in {"A": W.T @ W, "B": -W, "C": b @ W}.items():
        attached.feedback[f"0.{letter}"].data.copy_(value)
    attached.targets = y
    attached.loss(0.5 * (model(x) - y).square().sum() / n).backward()
    assert_close({k: g for k, g in read(model).items() if "_feedback" not in k}, read(plain), EPS)
    for b in attached.feedback.values():
        assert b.grad.norm() < 1e-12  # and there is nothing left to learn


def test_one_module_leaves_all_other_boundaries_to_backprop():
    """A single module in the middle of a network must not cut it anywhere else, nor be placed by accident of order."""
    model, (x, y) = network(), batch()
    plain = copy.deepcopy(model)
    F.cross_entropy(plain(x), y).backward()
    ours = step(model, attach(model, SG(at="0")), x, y)
    for name in ("2.weight", "2.bias", "4.weight", "4.bias"):
        assert distance(ours[name], read(plain)[name]) <= 64 * EPS
    assert distance(ours["0.weight"], read(plain)["0.weight"]) > 0.1
    with pytest.raises(ValueError, match="matches no block below the head"):
        fa.attach(network(), SG(at="4"))


@pytest.mark.parametrize("inputs", ["activations", "labels"])
def test_predictors_see_what_they_were_given(inputs):
    """The paper's ablations SG(h) and SG(y): the signal must not depend on the other."""
    model, (x, y) = network(), batch()
    attached = attach(model, SG(inputs=inputs))
    assert attached.needs_targets == (inputs == "labels")
    h = model[1](F.linear(x, model[0].weight, model[0].bias)).detach()
    g = step(model, attached, x, y)["0.weight"]
    t = {k[2:]: b.detach() for k, b in attached.feedback.items() if k[0] == "0"}
    s = t["C"] + (h @ t["A"] if inputs == "activations" else F.one_hot(y, K).double() @ t["B"])
    assert distance(g, ((s / N) * (1 - h**2)).T @ x) <= 64 * EPS


def test_predictors_start_at_zero():
    """ "Weights were initialised to zeros": hidden layers wait for their predictors, and then move."""
    model, (x, y) = network(), batch()
    for kind in ("linear", "sigmoid", "mlp"):
        net = copy.deepcopy(model)
        ours = step(net, fa.attach(net, SG(predictor=kind)), x, y)
        assert ours["0.weight"].norm() == 0
        assert ours["2._feedback_C"].norm() > 0


@pytest.mark.parametrize("rule", [SG(warm_up=2), PROP(warm_up=2)])
def test_warm_up_trains_by_backprop_and_survives_a_checkpoint(rule):
    """Predictors that know nothing yet destroy what backprop would have learned; and a resume must not warm up again."""
    model, (x, y) = network(), batch()
    plain = copy.deepcopy(model)
    F.cross_entropy(plain(x), y).backward()
    attached = attach(model, rule)
    for _ in range(2):
        ours = step(model, attached, x, y)
        assert_close({k: g for k, g in ours.items() if "_feedback" not in k}, read(plain), EPS)
        assert ours["0._feedback_C"].norm() > 0
    with torch.no_grad():
        model(x)
    attached.targets = y
    attached.loss(model.eval()(x).sum())  # nothing counts but forward passes in training
    fresh = network()
    fresh.load_state_dict(model.train().state_dict())
    resumed = fa.attach(fresh, rule)
    resumed.load_state_dict(attached.state_dict())
    ours = step(model, attached, x, y)
    assert distance(ours["0.weight"], read(plain)["0.weight"]) > 0.1
    assert_same(step(fresh, resumed, x, y), ours)


def test_predictors_train_by_the_models_own_optimizer_and_are_no_part_of_its_state():
    """They must be found by optimizers and reducers, and a checkpoint must load into the plain model."""
    model = network()
    keys, count = model.state_dict().keys(), len(list(model.parameters()))
    attached = fa.attach(model, "sg")
    assert model.state_dict().keys() == keys
    model.load_state_dict(network().state_dict())
    assert len(list(model.parameters())) == count + 6
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    x, y = batch()
    for _ in range(60):
        step(model, attached, x, y)
        with torch.no_grad():
            losses.append(F.cross_entropy(model(x), y).item())
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    attached.detach()
    assert len(list(model.parameters())) == count


def test_positions_share_a_predictor_and_a_sample_shares_its_label():
    """A predictor of a whole feature map has the square of its size in parameters; per position it is Jaderberg's 1x1."""
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Tanh(), nn.Conv2d(5, 6, 4), nn.Flatten(), nn.Linear(6, K))
    x, y = torch.randn(N, 3, 6, 6), torch.randint(K, (N,))
    attached = fa.attach(model, SG(at="0"), example=x)
    theta = attached.feedback
    assert {k: tuple(b.shape) for k, b in theta.items()} == {"0.C": (5,), "0.B": (K, 5), "0.A": (5, 5)}
    with torch.no_grad():
        for b in theta.values():
            b.normal_()
    attached.targets = y
    h = torch.tanh(F.conv2d(x, model[0].weight, model[0].bias))
    s = (
        torch.einsum("nchw,cd->ndhw", h, theta["0.A"])
        + (F.one_hot(y, K).float() @ theta["0.B"] + theta["0.C"])[:, :, None, None]
    )
    (expected,) = torch.autograd.grad(h, model[0].weight, s.detach() / N)
    attached.loss(F.cross_entropy(model(x), y)).backward()
    assert distance(model[0].weight.grad, expected) < 1e-5


def test_a_summed_loss_has_targets_that_grow_with_the_batch():
    """A loss does not tell whether it is a mean: under a sum, t is n times the gradient of one sample's loss."""
    x, y = batch()
    for reduction, factor in (("mean", 1), ("sum", N)):
        model = network()
        attached = fa.attach(model, "sg")
        attached.targets = y
        attached.loss(F.cross_entropy(model(x), y, reduction=reduction)).backward()
        ours = model[2]._feedback_C.grad
        attached.detach()
        error = torch.softmax(model(x), 1) - F.one_hot(y, K)
        t = factor * error @ model[4].weight
        assert distance(ours, -2 * t.mean(0)) <= 64 * EPS  # predictions begin at zero


def test_positions_that_are_ignored_receive_nothing_and_teach_nothing():
    """Padding. The scale is that of a sample's loss, which is a mean over positions, whatever the number of positions left."""
    steps, model = 5, nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, K)).double()
    x, y = torch.randn(N, steps, 7).double(), torch.randint(K, (N, steps))
    y[0], y[1, 2:], y[4, :3] = -100, -100, -100
    attached = fa.attach(model, "sg", example=x)
    with torch.no_grad():
        for b in attached.feedback.values():
            b.normal_(std=0.3)
    attached.targets = y
    attached.loss(F.cross_entropy(model(x).flatten(0, 1), y.flatten())).backward()

    count, n = y >= 0, int((y >= 0).sum()) / steps
    theta = {k[2:]: b.detach() for k, b in attached.feedback.items()}
    x, y = x[count], y[count]
    h = torch.tanh(F.linear(x, model[0].weight, model[0].bias)).detach()
    s = predict("linear", h, F.one_hot(y, K).double(), theta)
    error = torch.softmax(F.linear(h, model[2].weight, model[2].bias), 1) - F.one_hot(y, K)
    gap = 2 * (s / n - error @ model[2].weight / len(y))
    delta = s / n * (1 - h**2)
    assert_close(
        {name: g for name, g in read(model).items() if name[0] == "0"},
        {
            "0.weight": delta.T @ x,
            "0.bias": delta.sum(0),
            "0._feedback_A": h.T @ gap,
            "0._feedback_B": F.one_hot(y, K).double().T @ gap,
            "0._feedback_C": gap.sum(0),
        },
        EPS,
    )


@pytest.mark.parametrize("rule", [SG(), PROP(), SG(warm_up=1)])
def test_one_graph_under_compile_equals_eager(rule):
    """The state of warm-up and the two ends of a tap must not break the graph, nor be burnt into it."""
    model, (x, y) = network(), batch()
    attached = attach(model, rule)
    twin = network()
    twin.load_state_dict(model.state_dict())
    other = fa.attach(twin, rule)
    other.load_state_dict(attached.state_dict())
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        expected = step(twin, other, x, y)
        model.zero_grad()
        attached.targets = y
        attached.loss(F.cross_entropy(compiled(x), y)).backward()
        assert_close(read(model), expected, EPS)


@pytest.mark.parametrize("rule", [SG(), PROP(), SG(at="0")])
@pytest.mark.parametrize("part", [slice(0, 2), slice(2, 5), slice(0, 5)])
def test_activation_checkpointing_changes_nothing(rule, part):
    """A recomputed block must save what it saved before, and teach its predictor once."""
    model, (x, y) = network(), batch()
    attached = attach(model, rule)
    expected = step(model, attached, x, y)
    model.zero_grad()
    attached.targets = y
    h = model[: part.start](x)
    h = torch.utils.checkpoint.checkpoint(lambda h: model[part](h), h, use_reentrant=False)
    attached.loss(F.cross_entropy(model[part.stop :](h), y)).backward()
    assert_same(read(model), expected)


def test_autocast_keeps_the_prediction_in_single_precision():
    """Targets are the smallest tensors in the step: in half precision they are zero."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, K))
    x, y = torch.randn(N, 7), torch.randint(K, (N,))
    attached = attach(model, SG())
    expected = step(model, attached, x, y)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        attached.targets = y
        loss = attached.loss(F.cross_entropy(model(x), y))
    loss.backward()
    for name, g in read(model).items():
        assert g.dtype == torch.float32
        assert distance(g, expected[name]) < 0.05, name


def test_a_loss_that_was_not_joined_is_an_error():
    """Without the factor, targets under accumulation or fp16 would be wrong by it."""
    model, (x, y) = network(), batch()
    fa.attach(model, "sg").targets = y
    with pytest.raises(RuntimeError, match=r"attached\.loss"):
        F.cross_entropy(model(x), y).backward()


def test_two_forward_passes_and_frozen_blocks():
    """Taps of two passes must not meet, and a frozen block below must not stop those above."""
    model = network()
    attached = attach(model, SG())
    (x, y), (u, v) = batch(), batch()
    one, two = step(model, attached, x, y), step(model, attached, u, v)
    model.zero_grad()
    attached.targets = y
    first = attached.loss(F.cross_entropy(model(x), y))
    attached.targets = v
    second = attached.loss(F.cross_entropy(model(u), v))
    (first + second).backward()
    assert_close(read(model), {k: one[k] + two[k] for k in one}, EPS)
    model[0].requires_grad_(False)
    for p in model[0].parameters():
        p.grad = None
    ours = step(model, attached, x, y)
    assert_same(ours, {k: g for k, g in one.items() if not k.startswith("0.")})
