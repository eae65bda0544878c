"""``attached.suspended()`` inside a training step: the loss depends on the true derivative of the network."""

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from tests.cases import attach, plain_of, problem_of
from tests.oracles import CONTROLS
from tests.problems import assert_close, criterion, gradients, own, read, rewind

EPS = torch.finfo(torch.float64).eps


def slope(model: nn.Module, x: Tensor) -> Tensor:
    """The squared derivative of the outputs by the input."""
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    return g.square().mean()


# `shallow` lets nothing learn below the head. Under `fa_sparse` the penalty reaches connections that the rule has removed.
@pytest.mark.parametrize("rule", [rule for rule in fa.RULES if rule not in ("shallow", "fa_sparse")])
@pytest.mark.parametrize("order", ["penalty first", "penalty last"])
def test_a_penalty_on_the_true_derivative_adds_its_true_gradient(rule, order):
    """What README advises for saliency and gradient penalties was refused under transport rules."""
    problem = problem_of(rule, "mlp")
    model = problem.model().double()
    attached = attach(model, rule, problem)
    x, y = problem.batch(dtype=torch.float64)
    plain = plain_of(problem, attached).double()
    plain.load_state_dict(model.state_dict())
    slope(plain, x).backward()
    penalty = read(plain)
    expected = own(gradients(model, (x, y), attached))
    for name, g in penalty.items():
        expected[name] = expected.get(name, 0) + g
    fresh = attach(again := problem.model().double(), rule, problem)  # whose first loss is not checked yet
    rewind(fresh)
    again.zero_grad()
    fresh.targets = y

    def aside() -> Tensor:
        with fresh.suspended():
            return slope(again, x)

    def scored() -> Tensor:
        torch.manual_seed(3)
        return criterion(again(x), y)

    first, last = (aside, scored) if order == "penalty first" else (scored, aside)
    fresh.loss(first() + last()).backward()
    assert_close(own(read(again)), expected, EPS, rounds=256)


@pytest.mark.parametrize("rule", ["fa", "kp"])
def test_a_true_weight_outside_of_the_suspension_is_an_error_all_the_same(rule):
    """An exemption for all that comes after a suspended pass would hide every later mistake."""
    assert rule not in CONTROLS
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)), torch.randn(5, 4)
    attached = fa.attach(model, rule)
    h = model[1](model[0](x))
    with attached.suspended():
        aside = model(x).square().mean()
    with pytest.raises(RuntimeError, match=r"true weight of 2 carries an error"):
        attached.loss(aside + (h @ model[2].weight.T).square().mean())
