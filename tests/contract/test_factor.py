"""The factor before the loss (GradScaler, accumulation, ``c * loss``) and the precision of the numbers."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from tests.cases import attach, cases, every_case, speak
from tests.oracles import ORACLES
from tests.problems import assert_close, criterion, distance, forward, gradients, lessons, own, read, rewind

EPS = torch.finfo(torch.float32).eps

# Rounding may turn the winner of a max-pooling into another pixel: no tolerance follows from the dtype there.
every_smooth_case = cases(problems=["mlp", "residual", "positions"])


@every_case
@pytest.mark.parametrize("c", [0.5, 1 / 3, 65536.0])
def test_the_gradient_is_homogeneous_in_the_loss(rule, problem, c):
    """Else mixed precision and accumulation change the hidden layers' learning rate, by up to 65536, but not the head's."""
    model, data = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    expected = gradients(model, data, attached)
    scaled = gradients(model, data, attached, c)
    assert_close({name: g / c for name, g in scaled.items()}, expected, EPS)


@every_case
def test_a_grad_scaler_changes_nothing(rule, problem):
    """As above, with the scaler that Lightning uses."""
    model, data = problem.model(), problem.batch()
    attached = attach(model, rule, problem)
    expected = gradients(model, data, attached)
    model.zero_grad()
    scaler, optimizer = torch.amp.GradScaler("cpu"), torch.optim.SGD(model.parameters())
    scaler.scale(forward(model, data, attached)).backward()
    assert distance(read(model)[f"{problem.blocks[-1]}.weight"], expected[f"{problem.blocks[-1]}.weight"]) > 1000
    scaler.unscale_(optimizer)
    assert_close(read(model), expected, EPS)


@every_case
def test_accumulated_halves_are_the_whole_batch(rule, problem):
    """Accumulation exists to stand for a larger batch; with an own loss per half it must not count double."""
    model = problem.model().eval()  # batch statistics are of the half, in any network
    attached, (x, y) = attach(model, fa.RULES[rule](**ORACLES[rule].separable), problem), problem.batch(8)
    speak(attached)
    expected = gradients(model, (x, y), attached)
    model.zero_grad()
    for half in (slice(0, 4), slice(4, 8)):
        (forward(model, (x[half], y[half]), attached) / 2).backward()
    assert_close(read(model), expected, EPS)


@every_smooth_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_a_model_in_another_precision_learns_alike(rule, problem, dtype):
    """Feedback that is drawn otherwise for another dtype makes a run in half precision a different experiment."""
    reference, model = problem.model(), problem.model(dtype)
    (x, y) = problem.batch()
    expected = gradients(reference.eval(), (x, y), attach(reference, rule, problem))
    ours = gradients(model.eval(), (x.to(dtype), y), attach(model, rule, problem))
    assert {g.dtype for g in own(ours).values()} == {dtype}
    assert {g.dtype for g in lessons(ours).values()} <= {dtype, torch.promote_types(dtype, torch.float32)}
    assert_close(ours, expected, max(EPS, torch.finfo(dtype).eps), rounds=16)


@every_smooth_case
def test_autocast_keeps_the_gradients(rule, problem):
    """Backward runs outside autocast: feedback in the wrong precision raises there, or rounds small errors to zero."""
    model, (x, y) = problem.model().eval(), problem.batch()
    attached = attach(model, rule, problem)
    expected = gradients(model, (x, y), attached)
    model.zero_grad()
    attached.targets = y
    rewind(attached)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = attached.loss(criterion(model(x).float(), y))
    loss.backward()
    assert {g.dtype for g in read(model).values()} == {torch.float32}
    assert_close(read(model), expected, torch.finfo(torch.bfloat16).eps, rounds=16)


class Saturating(fa.DirectRule):
    """Unlike sign(e), tanh(e) is another direction for another scale of e."""

    linear = False

    def initial(self, name, width, outputs):
        return torch.linspace(-1, 1, width * outputs).reshape(width, outputs)

    def deliver(self, e, feedback):
        return torch.tanh(50 * e) @ feedback.T


def test_a_rule_of_the_users_that_is_not_linear_sees_the_error_without_the_factor():
    """The scale of a GradScaler would saturate it: fp16 would train by another rule than fp32."""
    rule = dataclasses.dataclass(frozen=True)(Saturating)()
    found = []
    for c in (1.0, 4096.0):
        net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(torch.linspace(-1, 1, p.numel()).view(p.shape))
        attached = fa.attach(net, rule)
        loss = F.cross_entropy(net(torch.eye(3)), torch.tensor([0, 1, 1]))
        (c * attached.loss(loss)).backward()
        found.append(net[0].weight.grad / c)
    assert found[0].any()
    torch.testing.assert_close(found[1], found[0])
