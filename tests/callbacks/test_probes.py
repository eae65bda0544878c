"""LinearProbes: readouts against the same computed by hand."""

import pytest
import torch
import torch.nn.functional as F

from lightning_fa.callbacks import LinearProbes
from lightning_fa.metrics import logistic, ridge
from tests.callbacks.net import data, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def test_probes_are_ridge_on_the_layers_evaluation_features(tmp_path):
    """In training mode dropout would spoil the features, and the probe would move the statistics of batch norm."""
    (x, y), (tx, ty) = data(seed=3)[1], data(seed=4)[1]
    probes = LinearProbes((x, y), (tx, ty), steps=6, penalty=1e-3)
    module, _ = fit(tmp_path, [probes])
    module.eval()
    with torch.no_grad():
        hidden = {"net.0": module.net[:4], "net.4": module.net[:6], "net.6": module.net}
        for layer, part in hidden.items():
            readout = ridge(part(x), F.one_hot(y, 3), 1e-3 * len(x))
            right = (readout(part(tx)).argmax(1) == ty).double().mean().item()
            assert probes.latest[f"probe/{layer}/test_accuracy"] == pytest.approx(100 * right), layer
            back = ridge(part(x), x, 1e-3 * len(x))
            expected = (back(part(x)) - x).square().mean().item()
            assert probes.latest[f"probe/{layer}/input_mse"] == pytest.approx(expected, rel=1e-6)
            right = 100 * (logistic(part(x), y, 3)(part(tx)).argmax(1) == ty).double().mean().item()
            assert probes.latest[f"probe/{layer}/converged_test_accuracy"] == pytest.approx(right), layer


def test_named_layers_are_probed_at_their_own_output_even_before_an_inplace_layer(tmp_path):
    (x, y) = data(seed=3)[1]
    probes = LinearProbes((x, y), layers=["net.4"], steps=6, converged=False, input_regression=False)
    module, _ = fit(tmp_path, [probes])
    module.eval()
    with torch.no_grad():
        h = module.net[4](module.net[:4](x))
    right = (ridge(h, F.one_hot(y, 3), 1e-4 * len(x))(h).argmax(1) == y).double().mean().item()
    assert probes.latest == {"probe/net.4/train_accuracy": pytest.approx(100 * right)}


def test_a_layer_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    with pytest.raises(ValueError, match=r"net\.9.*net\.0"):
        fit(tmp_path, [LinearProbes(data()[1], layers=["net.9"])], logger=False)


def test_probe_data_come_from_tensors_or_a_loader():
    loader, (x, _) = data()
    assert LinearProbes(loader).train[0].shape == x.shape
    with pytest.raises(ValueError, match="pair of tensors"):
        LinearProbes(3)
