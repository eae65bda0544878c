"""RepresentationMonitor: similarities against the same computed by hand."""

import numpy as np
import pytest
import torch

from lightning_fa.callbacks import RepresentationMonitor
from tests.callbacks.net import Net, data, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def test_representations_are_compared_between_layers_and_runs(tmp_path):
    monitors = [RepresentationMonitor(data(seed=3)[1], size=30, steps=6, save_to=tmp_path / "m") for _ in range(2)]
    module, _ = fit(tmp_path, [monitors[0]], logger=False)
    fit(tmp_path, [monitors[1]], rule="bp", module=Net(lr=0.5), logger=False)
    module.eval()
    labels = monitors[0].labels
    assert labels.tolist() == sorted(labels.tolist())
    assert len(labels) == 30
    with torch.no_grad():
        h, last = module.net[:4](monitors[0].inputs), module(monitors[0].inputs)
    above = np.triu_indices(30, 1)
    corr = [np.corrcoef(t.double().numpy())[above] for t in (h, last)]
    expected = np.corrcoef(*corr)[0, 1]
    assert monitors[0].latest["rsm/net.0/to_last"] == pytest.approx(expected, abs=1e-5)
    assert monitors[0].compare(monitors[0]) == pytest.approx(dict.fromkeys(monitors[0].matrices, 1.0))
    assert monitors[0].compare(monitors[1])["net.6"] < 0.999
    saved = torch.load(tmp_path / "m" / "rsm-00000012.pt", weights_only=True)
    assert torch.equal(saved["net.0"], monitors[1].matrices["net.0"])
    first = torch.load(tmp_path / "m" / "rsm-00000000.pt", weights_only=True)["net.0"]
    moved = np.corrcoef(first.numpy()[above], saved["net.0"].numpy()[above])[0, 1]
    assert monitors[1].latest["rsm/net.0/to_first"] == pytest.approx(moved, abs=1e-5)
    assert moved < 1 - 1e-4
    with pytest.raises(ValueError, match="same samples"):
        monitors[0].compare(RepresentationMonitor(data(seed=4)[1], size=30))
