"""WeightNorms: norms against NumPy's."""

import numpy as np
import pytest
import torch

from lightning_fa.callbacks import WeightNorms
from tests.callbacks.net import Net, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def test_weight_norms_are_numpys(tmp_path):
    norms = WeightNorms(6)
    torch.manual_seed(0)
    start = Net().net[4].weight.detach().numpy().copy()
    module, trainer = fit(tmp_path, [norms])
    w = module.net[4].weight.detach().numpy()
    assert norms.latest["weights/net.4/norm"] == pytest.approx(np.linalg.norm(w), rel=1e-6)
    assert norms.latest["weights/net.4/change"] == pytest.approx(np.linalg.norm(w - start), rel=1e-5)
    B = trainer.strategy.attached.feedback["net.4"].numpy()
    assert norms.latest["weights/net.4/feedback_norm"] == pytest.approx(np.linalg.norm(B), rel=1e-6)
