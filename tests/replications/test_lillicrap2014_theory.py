"""Oracle: the closed forms behind figure 3 and theorems 1 and 2."""

import math

import pytest
import torch

from replications.papers.lillicrap2014.flow import invariant as parabola
from replications.papers.lillicrap2014.flow import runge_kutta, velocity
from replications.papers.lillicrap2014.mean_flow import draw, invariant, lyapunov
from replications.papers.lillicrap2014.settings import MeanFlow, SinglePair
from replications.papers.lillicrap2014.single_pair import draw as draw_pair
from replications.papers.lillicrap2014.single_pair import erratum


def flow_to_the_end(*starts):
    p = torch.tensor(starts, dtype=torch.float64)
    for _ in range(3000):
        p = runge_kutta(velocity, p, 0.01)
    return p


def test_from_the_origin_the_flow_ends_where_w_is_half_w0_squared_and_their_product_is_1():
    (w0, w), *_ = flow_to_the_end((0.0, 0.0)).tolist()
    assert w0 == pytest.approx(2 ** (1 / 3), abs=1e-9)
    assert w == pytest.approx(2 ** (-1 / 3), abs=1e-9)


def test_trajectories_are_parabolas_that_end_on_the_hyperbola():
    starts = [(0.5, -1.0), (-1.5, 1.0), (-1.0, -1.5)]
    end = flow_to_the_end(*starts)
    torch.testing.assert_close(parabola(end), parabola(torch.tensor(starts, dtype=torch.float64)))
    torch.testing.assert_close(end.prod(dim=1), torch.ones(3, dtype=torch.float64))
    assert end[2, 1] < 0 < end[0, 1]


def test_runge_kutta_is_of_order_4():
    """On dp/dt = p the error of a step is dt^5 / 120."""
    start = torch.ones(1, 2, dtype=torch.float64)
    for dt in (0.1, 0.2):
        error = math.exp(dt) - runge_kutta(lambda p: p, start, dt)[0, 0].item()
        assert error == pytest.approx(dt**5 / 120, rel=0.1)


def test_the_invariant_and_the_lyapunov_function_of_theorem_1_have_their_derivatives():
    """d/dt(B W + W^T B^T - A A^T) = 0 and dV/dt = -2 tr(...) <= 0, by finite differences from arbitrary weights."""
    T, B = draw(0, MeanFlow(sizes=(6, 5, 3)))
    W, A = torch.randn(1, 3, 5, dtype=torch.float64), torch.randn(1, 5, 6, dtype=torch.float64)
    E = T - W @ A
    later_W, later_A = W + 1e-7 * E @ A.mT, A + 1e-7 * B @ E
    change = (invariant(later_W, later_A, B) - invariant(W, A, B)) / 1e-7
    assert change.abs().max() < 1e-4
    wrong = (invariant(later_W, A, B) - invariant(W, A, B)) / 1e-7
    assert wrong.abs().max() > 1e-2
    # near W = A = 0, where C = 0, the rise of V is -2 |W^T E ...| or less
    zero = torch.zeros_like(A)
    rise = lyapunov(B, T - (1e-3 * T @ zero.mT) @ (1e-3 * B @ T)) - lyapunov(B, T)
    assert rise.item() <= 0


def test_the_control_of_theorem_1_has_two_equal_columns_and_otherwise_the_same_draw():
    T, B = draw(0, MeanFlow())
    same, control = draw(0, MeanFlow(repeated_column=True))
    torch.testing.assert_close(T, same, rtol=0, atol=0)
    assert torch.linalg.matrix_rank(B) == 10
    assert torch.linalg.matrix_rank(control) == 9


def test_the_constant_of_theorem_2_is_one_over_the_square_that_the_paper_prints():
    _, y, _, _, B = draw_pair(0, SinglePair())
    found = erratum(B, y)
    squared = (B @ y.unsqueeze(-1)).square().sum().item()
    assert found["constant_over_ours"].item() == pytest.approx(1, abs=1e-9)
    assert found["constant_over_papers"].item() == pytest.approx(squared**-2, rel=1e-9)
    assert abs(found["constant_over_papers"].item() - 1) > 0.5
