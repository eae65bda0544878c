"""Oracle: the batched network of task 1 is the slow obvious one, and what the library's own rule does."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import lightning_fa as fa
from replications.papers.lillicrap2014.linear import (
    SIGNALS,
    Moment,
    Network,
    backprop,
    feedback_alignment,
    matched_pseudobackprop,
    node_perturbation,
    pseudobackprop,
    stack,
    train,
)
from replications.papers.lillicrap2014.pbp import gauss_newton
from replications.papers.lillicrap2014.settings import Linear

SMALL = Linear(sizes=(6, 5, 3), examples=40, learning_rate=0.02, omega=0.3)


def learnt(seeds, rule, settings=SMALL):
    task, network = stack(seeds, settings)
    for _ in train(task, network, rule, settings.learning_rate):
        pass
    return task, network


def slow(seed, rule):
    """One seed with vectors and one loop, as the equations stand in the paper."""
    task, network = stack([seed], SMALL)
    T, x, A, W, B = (tensor[0].clone() for tensor in (task.T, task.x, network.A, network.W, network.B))
    for example in x:
        h = A @ example
        e = T @ example - W @ h
        dh = {"bp": W.T @ e, "fa": B @ e, "shallow": 0 * h}[rule]
        W = W + SMALL.learning_rate * torch.outer(e, h)
        A = A + SMALL.learning_rate * torch.outer(dh, example)
    return A, W


@pytest.mark.parametrize("rule", ["bp", "fa", "shallow"])
def test_a_batch_of_seeds_is_the_slow_loop_of_each(rule):
    _, network = learnt([3, 7], rule)
    for copy, seed in enumerate((3, 7)):
        A, W = slow(seed, rule)
        torch.testing.assert_close(network.A[copy], A)
        torch.testing.assert_close(network.W[copy], W)


@pytest.mark.parametrize("rule", ["bp", "fa"])
def test_the_batched_rule_is_the_librarys_rule(rule):
    task, start = stack([3], SMALL)
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 3, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(start.A[0])
        model[1].weight.copy_(start.W[0])
    feedback = {"0": torch.zeros(5, 6), "1": start.B[0].T}
    chosen = fa.Backpropagation() if rule == "bp" else fa.FeedbackAlignment(init=feedback)
    fa.attach(model, chosen)
    optimizer = torch.optim.SGD(model.parameters(), lr=SMALL.learning_rate)
    for x, y in zip(task.x[0], task.y[0], strict=True):
        optimizer.zero_grad()
        (0.5 * (model(x) - y).square().sum()).backward()
        optimizer.step()
    _, network = learnt([3], rule)
    torch.testing.assert_close(network.A[0], model[0].weight.detach(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(network.W[0], model[1].weight.detach(), rtol=1e-6, atol=1e-9)


def test_a_seed_is_the_same_whatever_other_seeds_there_are():
    for one, many in zip(vars(learnt([7], "fa")[0]).values(), vars(learnt([3, 7], "fa")[0]).values(), strict=True):
        torch.testing.assert_close(one[0], many[1], rtol=0, atol=0)


def test_the_size_of_the_weights_changes_nothing_but_the_size():
    """Else figure 4 would compare tasks instead of sizes."""
    task, small = stack([3], SMALL)
    same, large = stack([3], replace(SMALL, omega=0.6))
    torch.testing.assert_close(task.x, same.x, rtol=0, atol=0)
    torch.testing.assert_close(2 * small.W, large.W)
    torch.testing.assert_close(small.B, large.B, rtol=0, atol=0)


def a_moment():
    _, network = stack([3, 7], SMALL)
    return Moment(0, network, torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64))


def test_feedback_of_the_transposed_weights_has_no_angle_to_backpropagation():
    moment = a_moment()
    assert (moment.angle(feedback_alignment, backprop) > 5).all()
    moment.network.B = moment.network.W.mT
    assert moment.angle(feedback_alignment, backprop).abs().max() < 1e-6


def test_node_perturbation_has_the_mean_of_backpropagation():
    """With many small noises the estimate is W^T e: E[noise noise^T] / variance is the identity."""
    W, e = torch.randn(1, 3, 5, dtype=torch.float64), torch.randn(1, 3, dtype=torch.float64)
    network = Network(torch.zeros(1), W, torch.zeros(1), 1e-4)
    mean = torch.zeros(5, dtype=torch.float64)
    for _ in range(200):
        mean += node_perturbation(network, e, torch.zeros(1, 5, dtype=torch.float64))[0] / 200
    expected = backprop(network, e, torch.zeros(1, 5))[0]
    assert (mean - expected).norm() < 5 * expected.norm() * (6 / 200) ** 0.5
    assert torch.dot(mean, expected) > 0


def test_matched_pseudobackpropagation_has_the_length_of_one_and_the_direction_of_the_other():
    moment = a_moment()
    matched = matched_pseudobackprop(moment.network, moment.e, moment.h)
    torch.testing.assert_close(matched.norm(dim=-1), backprop(moment.network, moment.e, moment.h).norm(dim=-1))
    assert moment.angle(matched_pseudobackprop, pseudobackprop).abs().max() < 1e-6


def test_pseudobackpropagation_is_the_gauss_newton_step_and_backpropagation_is_not():
    found = gauss_newton(a_moment())
    assert found["gauss_newton_distance"].max() < 1e-12
    assert found["bp_gauss_newton_angle"].min() > 1


def test_every_algorithm_of_figure_1d_has_a_signal():
    assert set(SIGNALS) == {"bp", "fa", "pbp", "shallow", "node-perturbation"}
