"""Oracle: closed forms."""

import pytest
import torch
from torch import nn

from lightning_fa import metrics
from lightning_fa.metrics import accuracy
from replications.measuring import measures


def test_the_angle_of_opposite_vectors_is_180_degrees_and_not_0():
    """With an absolute value inside arccos, as printed by some papers, anti-alignment would pass for alignment."""
    u = torch.tensor([[1.0, 2.0, 3.0]])
    assert measures.mean_angle(u, -u) == pytest.approx(180)


def test_the_mean_angle_is_the_mean_of_angles_and_not_the_angle_of_means():
    u = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    v = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    assert measures.mean_angle(u, v) == pytest.approx(90)
    assert measures.mean_angle(u, torch.tensor([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(45)


def test_a_sample_without_error_has_no_direction_and_is_left_out():
    u = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    v = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert measures.mean_angle(u, v) == pytest.approx(45)


def test_the_signal_is_b_times_e_for_every_sample():
    e, B = torch.tensor([[1.0, -1.0], [2.0, 0.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert measures.signal(e, B).tolist() == [[-1.0, -1.0, -1.0], [2.0, 6.0, 10.0]]


def test_fresh_matrices_have_the_entries_of_b_in_other_places_and_read_out_at_chance():
    """If they did not, good readouts through B would be no evidence that training aligned the features with B."""
    y = torch.arange(10).repeat(20)
    h, B = torch.eye(10)[y], torch.eye(10)
    drawn = list(measures.fresh(B, draws=200, seed=0))
    assert accuracy(h @ B, y) == 100
    assert 7 < sum(accuracy(h @ other, y) for other in drawn) / 200 < 13
    assert all(other.shape == B.shape and other.sum() == 10 and other.max() == 1 for other in drawn)
    assert torch.equal(drawn[0], next(measures.fresh(B, draws=1, seed=0)))
    assert not torch.equal(drawn[0], next(measures.fresh(B, draws=1, seed=1)))
    assert not torch.equal(drawn[0], drawn[1])


def linear_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(3, 2)).double()


def test_the_taps_are_the_inputs_of_the_named_modules():
    model, x = linear_net(), torch.randn(6, 5, dtype=torch.float64)
    (first, second), logits = measures.forward(model, ["1", "2"], x)
    assert torch.equal(first, model[0](x))
    assert torch.equal(second, model[1](model[0](x)))
    assert torch.equal(logits, model(x))
    assert not any(module._forward_pre_hooks for module in model)


def test_an_unknown_tap_is_named():
    with pytest.raises(ValueError, match="nowhere"):
        measures.forward(linear_net(), ["1", "nowhere"], torch.randn(6, 5, dtype=torch.float64))


def test_backpropagations_signal_in_a_linear_net_is_the_error_times_the_downstream_weights():
    """A mean instead of a sum, or hidden activations of another layer, would make every reported angle meaningless."""
    model, x, y = linear_net(), torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 0, 1])
    hidden, logits = measures.forward(model, ["1", "2"], x)
    first, second = measures.backprop_signals(hidden, logits, y)
    e = metrics.output_error(logits, y)
    assert torch.allclose(second, e @ model[2].weight, atol=1e-12)
    assert torch.allclose(first, e @ model[2].weight @ model[1].weight, atol=1e-12)
