"""Oracle: the paper's formulas, by autograd, by brute force, or by a system whose answer is known."""

from dataclasses import asdict, replace

import pytest
import torch

import lightning_fa as fa
from lightning_fa.rules import SyntheticGradient
from replications.papers.czarnecki2017 import PRESETS, fig6, prop2, table1, thm1
from replications.papers.czarnecki2017.settings import Spurious, Theorem1, Tracking, Unification


@pytest.mark.parametrize("seed", [0, 1])
def test_every_column_of_table_1_is_the_librarys_rule(seed):
    found = table1.differences(Unification(), seed)
    assert max(value for name, value in found.items() if name.startswith("difference")) < 1e-10
    assert found["wrong_flags"] == 0
    assert found["kickback_softmax"] < 1e-12


@pytest.mark.parametrize("name", ["bp", "dfa", "fa", "kickback"])
def test_a_target_of_the_other_sign_would_be_found(name, monkeypatch):
    """The paper's targets are negative gradients: easily lost."""
    right = table1.columns(0.7)
    wrong = right[name]._replace(target=lambda e: -right[name].target(e))
    monkeypatch.setattr(table1, "columns", lambda alpha: right | {name: wrong})
    found = table1.differences(Unification(), 0)
    assert found[f"difference/{name}"] > 1e-3
    assert found["difference/sg"] < 1e-10


def test_dfa_given_the_next_layers_error_would_be_told_by_the_flags(monkeypatch):
    right = table1.columns(0.7)
    monkeypatch.setattr(
        table1, "columns", lambda alpha: right | {"dfa": right["dfa"]._replace(target=lambda e: -e.g[:, :3])}
    )
    assert table1.differences(Unification(), 0)["wrong_flags"] == 2  # backward locked, no direct error


def test_the_sg_of_theorem_1_moves_as_the_librarys_op_says():
    """alpha, beta, gamma descend |E|^2 / 2 in the direction in which the library's SG descends |SG - g|^2."""
    x, y, start = thm1.problem(Theorem1(), 0)
    p = start.W @ x
    head = torch.nn.Linear(2, 2, bias=False).double()
    torch.nn.init.eye_(head.weight)
    net = torch.nn.Sequential(torch.nn.Linear(6, 2, bias=False).double(), head)
    net[0].weight.data = start.W.clone()
    attached = fa.attach(net, SyntheticGradient(at="0"))
    for held in attached.feedback.values():
        held.data = held.data.double()  # zero, as at the start of the theorem
    attached.targets = y.T.contiguous()
    attached.loss(((net(x.T) - y.T) ** 2).sum() / 2 / x.shape[1]).backward()
    E = thm1.error(start, p, y)
    theta = {name.rsplit(".", 1)[-1]: held for name, held in attached.feedback.items()}
    scale = 2 / x.shape[1]
    torch.testing.assert_close(theta["A"].grad, scale * (E @ p.T).T)
    torch.testing.assert_close(theta["B"].grad, scale * (E @ y.T).T)
    torch.testing.assert_close(theta["C"].grad, scale * E.sum(dim=1))


def test_the_line_search_of_theorem_1_is_exact():
    x, y, state = thm1.problem(Theorem1(), 1)
    p = state.W @ x
    moved = thm1.iterate(state, x, y, rate=0.0)

    def error_at(factor):
        between = thm1.State(*(a + factor * (b - a) for a, b in zip(state, moved, strict=True)))
        return thm1.error(between, p, y).norm()

    assert error_at(1.0) < min(error_at(0.99), error_at(1.01), error_at(0.0))


def test_the_true_gradient_is_an_invariant_state_of_theorem_1():
    x, y, start = thm1.problem(Theorem1(), 2)
    exact = thm1.State(start.W, *(torch.zeros_like(t) for t in start[1:]))
    moved = thm1.iterate(exact, x, y, 1e-3)
    assert not any(t.any() for t in moved[1:])
    torch.testing.assert_close(moved.W, start.W - 1e-3 * (start.W @ x - y) @ x.T)


def test_with_sg_at_zero_nothing_moves_in_the_first_iteration_but_sg():
    x, y, start = thm1.problem(Theorem1(), 3)
    moved = thm1.iterate(start, x, y, 1e-3)
    assert torch.equal(moved.W, start.W)
    assert not torch.equal(moved.alpha, start.alpha)


def test_the_whole_cone_of_appendix_a_is_spurious_and_nothing_else():
    a, b = torch.tensor([1.0, 1.0, 1.0, 0.3]).double(), torch.tensor([0.0, 0.99, 1.01, 0.5]).double()
    assert fig6.equilibrium(a, b).tolist() == [0.0, 0.0, 0.5, 0.5]
    assert fig6.loss(1.0, 0.0) == 6
    assert fig6.loss(0.3, 0.0).item() == pytest.approx(1.8)


def test_sg_leaves_the_slope_alone_where_backprop_lowers_it():
    settings = Spurious(steps=300)
    sg, bp = fig6.sg_path((1.0, 2.5), settings), fig6.bp_path((1.0, 2.5), settings)
    assert {point.a for point in sg} == {1.0}
    assert abs(sg[-1].b) < 1
    assert abs(bp[-1].a) < 0.01


@pytest.mark.parametrize("seed", [0, 1])
def test_the_bound_of_proposition_2_is_one(seed):
    """Against the exact norm of the Jacobian of all of h."""
    system = prop2.System(Tracking(samples=8), seed)

    def lower(*weights):
        h = system.x
        for w in weights:
            h = h @ w.T
        return h.flatten()

    weights = tuple(w.detach() for w in system.weights[: system.below])
    jacobian = torch.cat([j.flatten(1) for j in torch.autograd.functional.jacobian(lower, weights)], dim=1)
    exact = torch.linalg.matrix_norm(jacobian, 2)
    assert exact <= system.reach() <= 2 * exact


def test_while_sg_is_zero_the_main_model_waits_and_sg_learns():
    system = prop2.System(Tracking(), 0)
    before = [w.detach().clone() for w in system.weights]
    assert not system.visit(0.05).tracked
    assert all(torch.equal(a, b) for a, b in zip(before, system.weights, strict=True))
    assert any(held.any() for held in system.attached.feedback.values())


def test_an_applied_step_is_within_the_noise_that_was_allowed():
    system = prop2.System(Tracking(), 0)
    moments = [system.visit(0.05) for _ in range(200)]
    applied = [moment for moment in moments if moment.tracked]
    assert applied
    assert min(moment.cosine for moment in applied) >= (1 - prop2.TRACKED**2) ** 0.5
    assert min(moment.cosine for moment in moments) < 0.94  # so that waiting meant something
    assert moments[-1].loss < moments[0].loss


def test_the_full_preset_has_the_papers_depths_and_sizes():
    full = PRESETS["full"]
    assert full.depths == {"relu": (3, 5, 10, 20, 50), "sigmoid": (3, 5, 10, 20, 50)}
    assert (full.mnist.depth, full.mnist.width, full.mnist.rdm_samples, full.grid.depth) == (20, 512, 400, 5)
    assert full.table2_sizes == ((2, 100), (100, 1000))
    assert (full.table2.deep_layers, full.grid.steps) == (10, 100_000)


def test_the_reduced_preset_has_the_networks_of_the_full_one_but_the_deepest_of_sigmoid_units():
    """Its label says that nothing else differs but the length."""
    full, reduced = PRESETS["full"], PRESETS["reduced"]
    shorter = {"learning_rate", "max_steps", "epochs", "probe_samples"}
    assert {name for name, value in asdict(full.mnist).items() if asdict(reduced.mnist)[name] != value} == shorter
    assert reduced.depths == {"relu": full.depths["relu"], "sigmoid": full.depths["sigmoid"][:-1]}
    same = {"mnist": full.mnist, "depths": full.depths, "grid": replace(reduced.grid, steps=full.grid.steps)}
    assert replace(reduced, **same) == full
