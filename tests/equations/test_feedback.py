"""Feedback matrices: their distributions against closed forms, and what fixes a draw."""

import copy
import hashlib
import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

import lightning_fa as fa
from lightning_fa.feedback import INITIALISERS, draw, generator
from tests.problems import PROBLEMS, distance, gradients, mlp

WIDTH, FAN_IN = 300, 200

VARIANCES = {
    "uniform": 1 / (3 * WIDTH),
    "gaussian": 1.0,
    "normalised": 1 / (WIDTH * FAN_IN),
    "kaiming": 2 / FAN_IN,
    "xavier": 2 / (WIDTH + FAN_IN),
    "orthogonal": 1 / WIDTH,
}
BOUNDS = {"uniform": 1 / math.sqrt(WIDTH), "xavier": math.sqrt(6 / (WIDTH + FAN_IN))}


def sample(init: str, width: int = WIDTH, fan_in: int = FAN_IN) -> torch.Tensor:
    return INITIALISERS[init](width, fan_in, generator(0, "layer")).double()


def test_every_initialiser_has_its_moments_here():
    """An initialiser nobody checked may be off by the square root of a width."""
    assert VARIANCES.keys() == INITIALISERS.keys()


@pytest.mark.parametrize("init", VARIANCES)
def test_mean_and_variance_are_those_of_the_source(init):
    """The scale of B is a learning rate per layer, and decides Gilmer's angles: width and fan must not be exchanged."""
    b, n = sample(init), WIDTH * FAN_IN
    assert b.shape == (WIDTH, FAN_IN)
    assert abs(b.mean().item()) < 5 * math.sqrt(VARIANCES[init] / n)
    # The relative standard error of a sample variance is sqrt((kurtosis - 1) / n), at most sqrt(2 / n) here.
    assert abs(b.square().mean().item() / VARIANCES[init] - 1) < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize("init", VARIANCES)
def test_the_shape_of_the_distribution_is_the_named_one(init):
    """A Gaussian with the variance of the uniform has rows of other norms, and outliers."""
    if init in BOUNDS:
        expected = stats.uniform(-BOUNDS[init], 2 * BOUNDS[init])
        assert sample(init).abs().max() <= BOUNDS[init] * (1 + torch.finfo(torch.float32).eps)
    else:
        expected = stats.norm(0, math.sqrt(VARIANCES[init]))  # entries of a Haar matrix are nearly normal
    assert stats.kstest(sample(init).flatten().numpy(), expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize(("width", "fan_in"), [(40, 10), (10, 40), (20, 20)])
def test_orthogonal_feedback_is_orthonormal(width, fan_in):
    """Orthogonal feedback keeps the norm of the error, which is all that it is chosen for."""
    b = sample("orthogonal", width, fan_in)
    gram = b.T @ b if width >= fan_in else b @ b.T
    assert (gram - torch.eye(min(width, fan_in))).abs().max() < 16 * torch.finfo(torch.float32).eps


def test_orthogonal_feedback_prefers_no_direction():
    """QR alone leaves LAPACK's signs in the matrix: the diagonal of such draws is never positive."""
    diagonals = torch.stack([INITIALISERS["orthogonal"](4, 4, generator(s, "")).diagonal() for s in range(400)])
    assert (diagonals.mean(0).abs() < 5 * 0.5 / math.sqrt(400)).all()  # the variance of an entry is 1/4


def test_a_draw_is_fixed_by_seed_and_name_and_nothing_else():
    """Ranks, resumed runs and ablations must meet the same B; layers and seeds must not."""
    first = draw("gaussian", 1.0, 5, "fc", (3, 4))
    torch.manual_seed(99)
    assert torch.equal(draw("gaussian", 1.0, 5, "fc", (3, 4)), first)
    for seed, name in ((6, "fc"), (5, "fc2"), (0, "5:fc"), (51, "fc")):
        assert distance(draw("gaussian", 1.0, seed, name, (3, 4)), first) > 0.1


def test_a_draw_does_not_change_between_releases():
    """Feedback is not in every checkpoint a paper publishes: the seed has to give the same B next year."""
    seed = int(hashlib.sha256(b"17:layer1.0").hexdigest()[:16], 16) // 2
    expected = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(draw("gaussian", 1.0, 17, "layer1.0", (5, 3)), expected)


@pytest.mark.parametrize("init", VARIANCES)
def test_scale_multiplies(init):
    """Gilmer's angles are reported over scales of B; a scale that is squared or dropped would move every point."""
    assert torch.equal(draw(init, 4.0, 0, "fc", (6, 5)), 4 * draw(init, 1.0, 0, "fc", (6, 5)))


def test_feedback_in_the_shape_of_a_weight_has_the_fan_of_its_inputs():
    """FA's B has the shape of W: with the widths exchanged its uniform bound would be 1/sqrt(outputs)."""
    conv = draw("uniform", 1.0, 0, "conv", (64, 16, 3, 3), transposed=True)
    assert conv.shape == (64, 16, 3, 3)
    bound = 1 / math.sqrt(16 * 3 * 3)
    assert 0.99 * bound < conv.abs().max() <= bound


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs"])
def test_the_seed_reaches_every_layer_under_its_own_name(rule):
    """Layers of one shape that share their feedback are another rule (Launay's shared feedback)."""
    net = torch.nn.Sequential(*[torch.nn.Linear(6, 6) for _ in range(4)])
    feedback = list(fa.attach(net, fa.RULES[rule](seed=3)).feedback.values())
    for i, b in enumerate(feedback):
        assert all(distance(b, other) > 0.1 for other in feedback[:i])


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs"])
def test_a_users_own_tensors_are_used_scaled_and_copied(rule):
    """Feedback from a paper's published files must arrive as it is, and training must not write into the user's tensor."""
    names = fa.attach(mlp(), rule).feedback
    own = {name: torch.randn_like(b) for name, b in names.items()}
    attached = fa.attach(mlp(), fa.RULES[rule](init=own, scale=2.0))
    for name, b in attached.feedback.items():
        assert torch.equal(b, 2 * own[name])
        assert b.data_ptr() != own[name].data_ptr()


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs"])
def test_one_tensor_serves_every_layer_it_fits(rule):
    """Shared feedback is a published variant; it must be the same matrix everywhere."""
    net = torch.nn.Sequential(*[torch.nn.Linear(6, 6) for _ in range(3)])
    own = torch.randn(6, 6)
    for b in fa.attach(net, fa.RULES[rule](init=own)).feedback.values():
        assert torch.equal(b, own)


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs"])
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_what_is_copied_into_feedback_takes_effect_in_the_next_backward(rule, problem):
    """Experiments that set B = W^T would be silently run with random feedback, and come out negative."""
    model = problem.model()
    attached = fa.attach(model, rule)
    gradients(model, problem.batch(), attached)
    model.load_state_dict(problem.model().state_dict())
    before = problem.hidden(gradients(model, problem.batch(), attached))
    for b in attached.feedback.values():
        b.copy_(torch.randn_like(b))
    after = gradients(model, problem.batch(), attached)
    for name, g in before.items():
        assert distance(after[name], g) > 0.1, name


@pytest.mark.parametrize("rule", ["fa", "dfa", "lafs"])
def test_feedback_can_be_read_after_detaching(rule):
    """Angles and readouts are measured on the finished network, through the B that trained it."""
    attached = fa.attach(mlp(), rule)
    last = {name: b.clone() for name, b in attached.feedback.items()}
    attached.detach()
    assert last.keys() == attached.feedback.keys()
    assert all(torch.equal(attached.feedback[name], b) for name, b in last.items())


@pytest.mark.parametrize("rule", fa.RULES)
def test_the_default_dtype_changes_no_feedback(rule):
    """Under `torch.set_default_dtype(torch.float64)` the same seed drew another B, and direct rules did not attach."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x, y = torch.randn(7, 5).double(), torch.tensor([0, 1, 2, 0, 1, 2, 0])

    def step(default: torch.dtype) -> tuple[dict[str, torch.Tensor], list[torch.Tensor | None]]:
        before = torch.get_default_dtype()
        torch.set_default_dtype(default)
        try:
            model = copy.deepcopy(net)
            attached = fa.attach(model, rule, example=x)
            attached.targets = y
            one_hot = F.one_hot(y, 3).double()
            output = model(x)
            loss = F.mse_loss(output, one_hot) if rule == "kickback" else F.cross_entropy(output, y)
            attached.loss(loss).backward()
            return attached.feedback, [p.grad for n, p in model.named_parameters() if "_feedback" not in n]
        finally:
            torch.set_default_dtype(before)

    (held, ours), (other, theirs) = step(torch.float32), step(torch.float64)
    assert all(b.equal(other[name]) for name, b in held.items())
    assert all(a is b is None or a.equal(b) for a, b in zip(ours, theirs))


RULES_WITH_MATRICES = ["dfa", "dfa_lowrank", "dfa_sign", "dfa_sparse", "dkp", "drtp", "ebd", "fa", "fa_sparse", "frsf"]
RULES_WITH_MATRICES += ["ifa", "kp", "lafs", "local", "sg", "sgprop", "solo", "wm"]


@pytest.mark.parametrize("rule", RULES_WITH_MATRICES)
@pytest.mark.parametrize("example", [True, False])
def test_restored_feedback_of_another_head_is_an_error(rule, example):
    """LAFS trained on by the readout of the head before, and classes that are new were out of its bounds."""
    x, y = torch.randn(5, 4), torch.randint(3, (5,))

    def begun(outputs):
        net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, outputs))
        return net, fa.attach(net, rule, example=x if example else None)

    def go_on():
        net, attached = begun(5)
        attached.load_state_dict(begun(3)[1].state_dict())
        attached.targets = y
        attached.loss(nn.functional.cross_entropy(net(x), y)).backward()

    saved, needed = r"(\[8, 3\]|\[3, 8\]|\[3\])", r"([\[(]8, 5[\])]|\[5, 8\]|\[5\])"
    with pytest.raises(ValueError, match=rf"{saved}, but .*{needed}"):
        go_on()
