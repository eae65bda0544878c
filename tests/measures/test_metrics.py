"""Every measure against a closed form, or against scipy or scikit-learn."""

import math
from decimal import Decimal

import numpy as np
import pytest
import scipy.spatial
import scipy.stats
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from lightning_fa import metrics


@pytest.fixture
def draw():
    rng = torch.Generator().manual_seed(5)
    return lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("degrees", [0, 1e-6, 30, 90, 120, 180 - 1e-6, 180])
@pytest.mark.parametrize("lengths", [(1, 1), (1e-25, 1e3)])
def test_an_angle_is_exact_from_parallel_to_opposite_at_any_length(degrees, lengths):
    """arccos of a float32 cosine loses everything below 0.02 degrees, and gradients of 1e-25 have a squared norm of 0."""
    u = torch.tensor([[1.0, 0.0]], dtype=torch.float64) * lengths[0]
    v = torch.tensor([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]], dtype=torch.float64)
    assert metrics.angles(u, v * lengths[1]).item() == pytest.approx(degrees, abs=1e-9)


def test_small_float32_gradients_have_an_angle():
    """The square of 1e-30 underflows in float32: such layers would seem to have no direction."""
    u = torch.tensor([[1e-30, 1e-30]])
    assert metrics.angles(u, torch.tensor([[1e-30, 0.0]])).item() == pytest.approx(45, abs=1e-5)


def test_a_gradient_whose_square_underflows_has_an_angle():
    """Float64 squares 1e-200 to zero: without a rescaling a vanishing layer would have no direction at all."""
    u, v = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[4.0, 3.0]]).double()
    expected = math.degrees(math.acos(24 / 25))
    assert metrics.angles(1e-200 * u, 1e-200 * v).item() == pytest.approx(expected, abs=1e-9)


def test_cosines_agree_with_scipy(draw):
    u, v = draw(6, 3, 4), draw(6, 3, 4)
    expected = [1 - scipy.spatial.distance.cosine(a.flatten(), b.flatten()) for a, b in zip(u, v)]
    assert metrics.cosines(u, v).numpy() == pytest.approx(expected, abs=1e-12)


def test_a_zero_row_has_no_direction_and_spoils_no_mean(draw):
    """0 degrees for a dead sample would look like perfect alignment."""
    u, v = draw(3, 4), draw(3, 4)
    u[1] = 0
    assert metrics.angles(u, v).isnan().tolist() == [False, True, False]
    metric = metrics.Alignment()
    metric.update(u, v)
    expected = metrics.angles(u[[0, 2]], v[[0, 2]])
    assert metric.compute()["angle"].item() == pytest.approx(expected.mean().item(), abs=1e-9)


def test_shapes_that_differ_are_refused(draw):
    with pytest.raises(ValueError, match=r"one shape.*\(3, 4\).*\(3, 5\)"):
        metrics.angles(draw(3, 4), draw(3, 5))


def test_chance_is_the_spread_of_the_cosine_of_random_directions():
    u, v = torch.randn(20000, 50), torch.randn(20000, 50)
    assert metrics.cosines(u, v).std().item() == pytest.approx(metrics.chance(50), rel=0.03)
    assert metrics.chance(1024**2) == pytest.approx(1 / 1024)


def test_mean_and_spread_over_batches_are_those_of_all_samples(draw):
    """The mean of the batches' means weights a short last batch like a full one."""
    u, v = draw(11, 7), draw(11, 7)
    metric = metrics.Alignment()
    for rows in (slice(0, 8), slice(8, 11)):
        metric.update(u[rows], v[rows])
    result = {name: value.item() for name, value in metric.compute().items()}
    angle, cosine = metrics.angles(u, v).numpy(), metrics.cosines(u, v).numpy()
    expected = {"angle": angle.mean(), "angle_std": angle.std(), "cosine": cosine.mean(), "cosine_std": cosine.std()}
    assert result == pytest.approx(expected, abs=1e-6)


def test_the_local_error_is_the_gradient_of_the_readouts_cross_entropy(draw):
    h, B, y = draw(5, 6), draw(6, 3), torch.tensor([0, 2, 1, 1, 0])
    logits = (h @ B).requires_grad_()
    (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y, reduction="sum"), logits)
    assert torch.allclose(metrics.readout_error(h, B, y), expected, atol=1e-12)
    values = draw(5, 3)
    assert torch.equal(metrics.readout_error(h, B, values), h @ B - values)


def test_readout_accuracy_is_the_share_of_largest_logits_over_all_batches(draw):
    h, B = draw(9, 6), draw(6, 3)
    y = torch.tensor([0, 2, 1, 1, 0, 2, 2, 1, 0])
    metric = metrics.ReadoutAccuracy()
    for rows in (slice(0, 7), slice(7, 9)):
        metric.update(h[rows], B, y[rows])
    right = sum(int(np.argmax(h[i].numpy() @ B.numpy()) == y[i].item()) for i in range(9))
    assert 0 < right < 9
    assert metric.compute().item() == pytest.approx(100 * right / 9)
    assert metrics.accuracy(h @ B, y) == pytest.approx(100 * right / 9)


def test_the_similarity_matrix_is_numpys_correlation_of_rows(draw):
    h = draw(7, 2, 5)
    assert metrics.similarity(h).numpy() == pytest.approx(np.corrcoef(h.flatten(1).numpy()), abs=1e-12)
    distances = scipy.spatial.distance.pdist(h.flatten(1).numpy(), "correlation")
    assert metrics.dissimilarity(h).numpy() == pytest.approx(scipy.spatial.distance.squareform(distances), abs=1e-12)


def test_a_constant_representation_is_similar_to_nothing_but_itself(draw):
    h = draw(4, 5)
    h[2] = 3.0
    matrix = metrics.similarity(h)
    assert matrix.isfinite().all()
    assert matrix[2].tolist() == [0, 0, 1, 0]


def test_similarity_of_two_representations_is_scipys_over_the_upper_triangles(draw):
    first, second = metrics.similarity(draw(8, 5)), metrics.similarity(draw(8, 3))
    above = np.triu_indices(8, 1)
    expected = scipy.stats.pearsonr(first.numpy()[above], second.numpy()[above]).statistic
    assert metrics.representation_similarity(first, second).item() == pytest.approx(expected, abs=1e-12)
    # The diagonal of ones must not count: with it unrelated representations seem alike.
    assert metrics.representation_similarity(first, first.clone().fill_diagonal_(-1)).item() == pytest.approx(1)


def test_class_contrast_is_one_for_a_block_matrix_and_zero_without_classes():
    labels = torch.tensor([0, 0, 1, 1, 1])
    blocks = (labels[:, None] == labels[None, :]).double()
    assert metrics.class_contrast(blocks, labels).item() == pytest.approx(1)
    assert metrics.class_contrast(torch.ones(5, 5) * 0.3 + 0.7 * torch.eye(5), labels).item() == pytest.approx(
        0, abs=1e-7
    )


def test_linear_cka_ignores_rotation_and_scale_and_equals_its_feature_form(draw):
    x, y = draw(20, 6), draw(20, 4)
    rotation, _ = torch.linalg.qr(draw(6, 6))
    assert metrics.linear_cka(x, 3 * x @ rotation + 1).item() == pytest.approx(1, abs=1e-12)
    a, b = x - x.mean(0), y - y.mean(0)
    expected = (b.T @ a).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm())
    assert metrics.linear_cka(x, y).item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("width", [4, 40])
@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_ridge_is_scikit_learns(draw, width, penalty):
    """An intercept that is penalised too is the usual mistake."""
    x, y = draw(25, width) + 3, draw(25, 2) - 5
    ours, theirs = metrics.ridge(x, y, penalty), Ridge(alpha=penalty).fit(x.numpy(), y.numpy())
    assert ours.weight.numpy() == pytest.approx(theirs.coef_.T, abs=1e-9)
    assert ours(x).numpy() == pytest.approx(theirs.predict(x.numpy()), abs=1e-9)


@pytest.mark.parametrize("width", [4, 40])
def test_ridge_without_penalty_is_the_least_squares_solution_of_least_norm(draw, width):
    x, y = draw(25, width), draw(25, 2)
    centred = (x - x.mean(0)).numpy()
    expected, *_ = np.linalg.lstsq(centred, (y - y.mean(0)).numpy(), rcond=None)
    assert metrics.ridge(x, y).weight.numpy() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("penalty", [0.0, 3.0])
def test_a_ridge_probe_fed_in_batches_is_ridge_on_all_samples(draw, penalty):
    x, y = draw(30, 5) * 2 + 1, draw(30, 3)
    metric = metrics.RidgeProbe(5, 3, penalty)
    for rows in (slice(0, 13), slice(13, 30)):
        metric.update(x[rows], y[rows])
    expected = metrics.ridge(x, y, penalty)
    assert torch.allclose(metric.readout().weight, expected.weight, atol=1e-10)
    assert metric.compute().item() == pytest.approx((expected(x) - y).square().mean().item(), abs=1e-10)


def test_the_logistic_probe_converges_to_scikit_learns_solution(draw):
    x = draw(60, 4) * torch.tensor([1.0, 50.0, 0.01, 1.0]) + 7
    y = (x[:, 0] + draw(60) > 7).long() + (draw(60) > 0.5).long()
    penalty = 0.05
    ours = metrics.logistic(x, y, 3, penalty)
    scaler = StandardScaler().fit(x.numpy())
    theirs = LogisticRegression(C=1 / (len(x) * penalty), tol=1e-10, max_iter=5000)
    theirs.fit(scaler.transform(x.numpy()), y.numpy())
    assert ours(x).softmax(1).numpy() == pytest.approx(theirs.predict_proba(scaler.transform(x.numpy())), abs=1e-5)


def test_a_probe_can_be_fitted_where_gradients_are_off(draw):
    """Callbacks run under no_grad, evaluation loops under inference_mode."""
    x, y = draw(20, 3), torch.arange(20) % 2
    expected = metrics.logistic(x, y, 2)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(metrics.logistic(x, y, 2).weight, expected.weight)


def test_representation_similarity_in_batches_is_that_of_all_samples(draw):
    a, b = draw(9, 4), draw(9, 2, 3)
    metric = metrics.RepresentationSimilarity()
    for rows in (slice(0, 5), slice(5, 9)):
        metric.update(a[rows], b[rows])
    expected = metrics.representation_similarity(metrics.similarity(a), metrics.similarity(b))
    assert metric.compute().item() == pytest.approx(expected.item(), abs=1e-12)


def test_relative_error_is_zero_when_exact_and_one_when_nothing_is_sent(draw):
    g = draw(5, 3)
    assert metrics.relative_error(g, g).item() == 0
    assert metrics.relative_error(torch.zeros(5, 3), g).item() == 1
    assert metrics.relative_error(3 * g, g).item() == pytest.approx(4)


def test_the_implied_loss_has_the_synthetic_gradient_as_its_gradient(draw):
    """Only where A is symmetric; the share that is not is what `antisymmetric_share` tells."""
    A, c, h = draw(4, 4), draw(6, 4), draw(6, 4)
    symmetric = (A + A.T) / 2
    step, loss = 1e-6, lambda at: metrics.implied_loss(at, A, c)
    direction = draw(6, 4)
    numeric = (loss(h + step * direction) - loss(h - step * direction)) / (2 * step)
    expected = ((h @ symmetric + c) * direction).sum(1)
    assert numeric.numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    assert metrics.antisymmetric_share(symmetric).item() == pytest.approx(0, abs=1e-15)
    assert metrics.antisymmetric_share(A - A.T).item() == pytest.approx(1)
    assert 0 < metrics.antisymmetric_share(A).item() < 1


def test_a_dead_unit_is_one_without_any_gradient(draw):
    gradient = draw(4, 3, 2)
    gradient[1] = 0
    gradient[2, 0] = 0
    assert metrics.dead_units(gradient) == 25


@pytest.mark.parametrize("groups", [1, 2])
def test_the_units_of_a_transposed_convolution_are_its_output_channels(groups):
    """Counted along the first dimension, a dead input channel was a dead unit, and a dead unit was none."""
    layer = torch.nn.ConvTranspose2d(4, 6, 3, groups=groups)
    off = torch.tensor([1.0, 1, 1, 0, 1, 1]).reshape(6, 1, 1)  # output channel 3 is dead
    x = torch.ones(2, 4, 5, 5)
    x[:, 1] = 0  # so that no weight of input channel 1 has a gradient
    (layer(x) * off).sum().backward()
    assert metrics.dead_units(layer.weight.grad, layer) == pytest.approx(100 / 6)


def _examples():
    x, y = torch.randn(6, 4), torch.randn(6, 4)
    return {
        "Alignment": (metrics.Alignment, (x, y)),
        "ReadoutAccuracy": (metrics.ReadoutAccuracy, (x, torch.randn(4, 3), torch.tensor([0, 1, 2, 0, 1, 2]))),
        "RidgeProbe": (lambda: metrics.RidgeProbe(4, 4, 1.0), (x, y)),
        "RepresentationSimilarity": (metrics.RepresentationSimilarity, (x, y)),
    }


@pytest.mark.parametrize("name", _examples())
def test_metrics_keep_torchmetrics_contract(name):
    """Reset, clone, state_dict, half precision and plot are what users of torchmetrics expect to work."""
    build, batch = _examples()[name]
    metric, other = build(), build()
    metric.persistent(True)
    first = metric(*batch)
    metric.update(*batch)
    twice = metric.compute()
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    other._update_count = 1
    assert str(other.compute()) == str(twice)
    metric.reset()
    assert str(metric(*batch)) == str(first)
    assert metric.clone().compute().__repr__() == first.__repr__()
    figure, _ = metric.plot()
    assert figure.axes
    import matplotlib.pyplot as plt

    plt.close(figure)


@pytest.mark.parametrize("name", _examples())
def test_states_of_two_ranks_add_up_to_all_samples(name):
    """A wrong dist_reduce_fx shows only on a cluster."""
    build, batch = _examples()[name]
    rows = 6

    def part(which):
        return [t[which] if len(t) == rows else t for t in batch]

    whole, merged, second = build(), build(), build()
    whole.update(*batch)
    merged.update(*part(slice(0, 4)))
    second.update(*part(slice(4, 6)))
    for state, reduction in merged._reductions.items():
        a, b = getattr(merged, state), getattr(second, state)
        if isinstance(a, list):
            setattr(merged, state, reduction([torch.cat(a), torch.cat(b)]))
        else:
            setattr(merged, state, reduction(torch.stack([a, b])))
    expected, ours = whole.compute(), merged.compute()
    if not isinstance(expected, dict):
        expected, ours = {"": expected}, {"": ours}
    for key in expected:
        assert ours[key].item() == pytest.approx(expected[key].item(), abs=1e-6)


def _confident(outputs, scale, rows=64):
    generator = torch.Generator().manual_seed(outputs)
    logits = scale * torch.randn(rows, outputs, generator=generator)
    return logits, torch.randint(outputs, (rows,), generator=generator)


@pytest.mark.parametrize("scale", [1.0, 20.0, 150.0])
def test_the_error_of_a_confident_softmax_keeps_its_label(scale):
    """p_c - 1 is 0 where p_c rounds to 1: the error then loses its largest entry and its direction."""
    logits, y = _confident(10, scale)
    y[:32] = logits[:32].argmax(1)  # half of the samples are classified correctly, and confidently
    e = metrics.output_error(logits.float(), y)
    others = [[k for k in range(10) if k != c] for c in y.tolist()]
    for row, (c, rest) in enumerate(zip(y.tolist(), others, strict=True)):
        weights = [Decimal(v).exp() for v in logits[row].tolist()]
        expected = [float(weights[k] / sum(weights)) for k in rest]
        assert e[row, rest].tolist() == pytest.approx(expected, rel=1e-9)
        assert e[row, c].item() == pytest.approx(-float(sum(weights[k] for k in rest) / sum(weights)), rel=1e-9)


@pytest.mark.parametrize("outputs", [2, 3, 10])
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_two_errors_of_one_sample_are_at_most_60_degrees_apart(outputs, scale):
    """Any angle above 60 degrees is an artefact of rounding, and 90 degrees is no null of an alignment."""
    a, y = _confident(outputs, scale)
    b = a.roll(1, 0) * 2  # an unrelated readout
    found = metrics.angles(metrics.output_error(a, y), metrics.output_error(b, y))
    assert found.max() <= 60 + 1e-4
    if outputs == 2:  # with two classes all errors of one label are parallel
        assert found.max() < 1e-4
    elif scale == 100:  # the bound is reached where the two put everything on different wrong classes
        assert found.max() > 59.9
