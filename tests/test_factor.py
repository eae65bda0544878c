"""The factor before the loss (GradScaler, accumulation, ``c * loss``) and the precision of the numbers."""

import pytest
import torch

import lightning_fa as fa
from tests.problems import PROBLEMS, assert_close, criterion, distance, forward, gradients, read

EPS = torch.finfo(torch.float32).eps

every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
# Rounding may turn the winner of a max-pooling into another pixel: no tolerance follows from the dtype there.
every_smooth_problem = pytest.mark.parametrize("problem", ["mlp", "residual", "positions"])
every_rule = pytest.mark.parametrize("rule", fa.RULES)


@every_problem
@every_rule
@pytest.mark.parametrize("c", [0.5, 1 / 3, 65536.0])
def test_the_gradient_is_homogeneous_in_the_loss(rule, problem, c):
    """Else mixed precision and accumulation change the hidden layers' learning rate, by up to 65536, but not the head's."""
    model, data = problem.model(), problem.batch()
    attached = fa.attach(model, rule)
    expected = gradients(model, data, attached)
    scaled = gradients(model, data, attached, c)
    assert_close({name: g / c for name, g in scaled.items()}, expected, EPS)


@every_problem
@every_rule
def test_a_grad_scaler_changes_nothing(rule, problem):
    """As above, with the scaler that Lightning uses."""
    model, data = problem.model(), problem.batch()
    attached = fa.attach(model, rule)
    expected = gradients(model, data, attached)
    model.zero_grad()
    scaler, optimizer = torch.amp.GradScaler("cpu"), torch.optim.SGD(model.parameters())
    scaler.scale(forward(model, data, attached)).backward()
    assert distance(read(model)[f"{problem.blocks[-1]}.weight"], expected[f"{problem.blocks[-1]}.weight"]) > 1000
    scaler.unscale_(optimizer)
    assert_close(read(model), expected, EPS)


@every_problem
@every_rule
def test_accumulated_halves_are_the_whole_batch(rule, problem):
    """Accumulation exists to stand for a larger batch; with an own loss per half it must not count double."""
    model = problem.model().eval()  # batch statistics are of the half, in any network
    attached, (x, y) = fa.attach(model, rule), problem.batch(8)
    expected = gradients(model, (x, y), attached)
    model.zero_grad()
    for half in (slice(0, 4), slice(4, 8)):
        (forward(model, (x[half], y[half]), attached) / 2).backward()
    assert_close(read(model), expected, EPS)


@every_smooth_problem
@every_rule
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_a_model_in_another_precision_learns_alike(rule, problem, dtype):
    """Feedback that is drawn otherwise for another dtype makes a run in half precision a different experiment."""
    problem = PROBLEMS[problem]
    reference, model = problem.model(), problem.model(dtype)
    (x, y) = problem.batch()
    expected = gradients(reference.eval(), (x, y), fa.attach(reference, rule))
    ours = gradients(model.eval(), (x.to(dtype), y), fa.attach(model, rule))
    assert {g.dtype for g in ours.values()} == {dtype}
    assert_close(ours, expected, max(EPS, torch.finfo(dtype).eps), rounds=16)


@every_smooth_problem
@every_rule
def test_autocast_keeps_the_gradients(rule, problem):
    """Backward runs outside autocast: feedback in the wrong precision raises there, or rounds small errors to zero."""
    problem = PROBLEMS[problem]
    model, (x, y) = problem.model().eval(), problem.batch()
    attached = fa.attach(model, rule)
    expected = gradients(model, (x, y), attached)
    model.zero_grad()
    attached.targets = y
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = attached.loss(criterion(model(x).float(), y))
    loss.backward()
    assert {g.dtype for g in read(model).values()} == {torch.float32}
    assert_close(read(model), expected, torch.finfo(torch.bfloat16).eps, rounds=16)
