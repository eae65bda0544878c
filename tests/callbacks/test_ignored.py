"""Samples of class -100 are there to be ignored: every measure is that of the others."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa import metrics
from lightning_fa.callbacks import LinearProbes, RepresentationMonitor
from lightning_fa.callbacks.comparisons import read_out
from lightning_fa.callbacks.features import tensors
from lightning_fa.callbacks.sums import Sums
from lightning_fa.callbacks.synthetic import _imply, _judge
from lightning_fa.wiring.blocks.choice import Block
from tests.callbacks.net import data, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")

LABELS = torch.tensor([0, -100, 2, 1, -100, 2])
COUNT = LABELS != -100


def rows(seed: int, width: int = 4) -> Tensor:
    return torch.randn(6, width, generator=torch.Generator().manual_seed(seed))


def test_the_error_of_an_ignored_row_is_zero():
    """One-hot of -100 raises, and as a class it would be an error of one."""
    logits = rows(0, 3)
    found = metrics.output_error(logits, LABELS)
    assert torch.equal(found[COUNT], metrics.output_error(logits[COUNT], LABELS[COUNT]))
    assert not found[~COUNT].any()


def test_the_error_of_an_ignored_value_is_zero():
    """NaN would spoil the mean over the samples."""
    values = rows(1, 3)
    values[0, 1] = torch.nan
    found = metrics.output_error(rows(0, 3), values)
    assert found[0, 1] == 0
    assert torch.equal(found[1:], metrics.output_error(rows(0, 3)[1:], values[1:]))


def test_accuracies_are_those_of_the_other_rows():
    """Ignored rows would all count as wrong."""
    logits, h, B = rows(0, 3), rows(1), rows(2)[:4, :3]
    assert metrics.accuracy(logits, LABELS) == metrics.accuracy(logits[COUNT], LABELS[COUNT])
    assert math.isnan(metrics.accuracy(logits, torch.full((6,), -100)))
    all_rows, others = metrics.ReadoutAccuracy(), metrics.ReadoutAccuracy()
    assert torch.equal(all_rows(h, B, LABELS), others(h[COUNT], B, LABELS[COUNT]))


def test_a_readout_is_compared_on_the_other_rows():
    """AlignmentMonitor's own arithmetic; the monitor would end the training that it looks at."""
    found = []
    for kept in (slice(None), COUNT):
        sums = Sums()
        read_out(sums, Block("h", nn.Linear(1, 1)), rows(2)[:4, :3], rows(1)[kept], rows(0, 3)[kept], LABELS[kept])
        found.append(sums.moments)
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    nothing = Sums()
    read_out(nothing, Block("h", nn.Linear(1, 1)), rows(2)[:4, :3], rows(1), rows(0, 3), torch.full((6,), -100))
    assert not nothing.moments


def test_a_synthetic_gradient_implies_a_loss_of_the_other_rows():
    """The loss of an ignored row is zero, whatever the predictor implies."""
    theta = {"A": rows(3)[:4], "B": rows(4)[:3], "C": rows(5)[0]}
    found = []
    for kept in (slice(None), COUNT):
        sums = Sums()
        _imply(sums, None, "h", theta, rows(1)[kept], rows(0, 3)[kept], LABELS[kept])
        found.append(sums.moments)
    assert all(torch.allclose(found[0][key], found[1][key], rtol=1e-12) for key in found[1])


def test_a_prediction_is_judged_by_the_samples_that_count():
    """It is of a sample's gradient, and the true gradient is that of a mean over the samples that count."""
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    attached = fa.attach(net, "sg")
    with torch.no_grad():
        for b in attached.feedback.values():
            b.normal_(generator=torch.Generator().manual_seed(3))
    h, found = rows(1), []
    signal = rows(2).masked_fill(~COUNT[:, None], 0)
    for kept in (slice(None), COUNT):
        seen, sums = SimpleNamespace(outputs={"0": h[kept], "2": rows(0, 3)[kept]}, signals={"0": signal[kept]}), Sums()
        _judge(sums, attached, "0", seen, LABELS[kept], "2")
        found.append(sums.moments)
    assert found[0].keys() == found[1].keys()
    assert all(torch.allclose(found[0][key], found[1][key], rtol=1e-6) for key in found[1])


@pytest.mark.parametrize("monitor", [LinearProbes, RepresentationMonitor])
def test_probes_and_similarities_leave_them_out(monitor, tmp_path):
    """As a class of their own they would be what the probe learns to tell."""
    x, y = data(seed=3)[1]
    spoiled = y.clone()
    spoiled[::3] = -100
    kept = spoiled != -100
    latest = []
    for name, given in (("all", (x, spoiled)), ("others", (x[kept], y[kept]))):
        seen = monitor(given, steps=6)
        fit(tmp_path / name, [seen])
        latest.append(seen.latest)
    assert latest[0] == pytest.approx(latest[1])


def test_a_limit_counts_the_samples_that_are_left():
    x, y = torch.arange(6.0)[:, None], LABELS
    inputs, labels = tensors([(x[:3], y[:3]), (x[3:], y[3:])], 3)
    assert labels.tolist() == [0, 2, 1]
    assert inputs.flatten().tolist() == [0, 2, 3]
