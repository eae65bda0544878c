"""WeightNorms: norms against NumPy's."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from lightning_fa.callbacks import WeightNorms
from tests.callbacks.net import Net, data, fit

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


def test_the_change_of_a_resumed_run_is_that_since_the_first_start(tmp_path):
    """A distance from wherever the last session stopped would be small for any run that was cut often enough."""
    torch.manual_seed(0)
    start = Net().net[4].weight.detach().clone()
    _, trainer = fit(tmp_path, [WeightNorms(6)], steps=6)
    trainer.save_checkpoint(tmp_path / "cut.ckpt")
    norms = WeightNorms(6)
    torch.manual_seed(5)
    resumed = Net()
    trainer = Trainer(
        max_steps=12,
        accelerator="cpu",
        logger=False,
        callbacks=[norms],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        strategy="dfa",
    )
    trainer.fit(resumed, data()[0], ckpt_path=tmp_path / "cut.ckpt", weights_only=True)
    expected = (resumed.net[4].weight.detach() - start).norm().item()
    assert norms.latest["weights/net.4/change"] == pytest.approx(expected, rel=1e-5)
