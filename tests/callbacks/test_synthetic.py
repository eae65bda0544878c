"""SyntheticGradientMonitor: predictions against the true gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lightning_fa.callbacks import NAMES, SyntheticGradientMonitor
from lightning_fa.metrics import angles
from replications.experiment.loggers import read_curve
from tests.callbacks.net import Net, by_hand, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def test_a_synthetic_gradient_is_compared_with_the_samples_own_gradient(tmp_path):
    """SG predicts the gradient of a sample's loss, backward carries that of the mean: a factor of the batch size."""
    taken = {}

    class Copy(SyntheticGradientMonitor):
        def measure(self, trainer, module, batch, batch_index):
            (x, y), theta = batch, trainer.strategy.attached.feedback
            twin = Net()
            twin.load_state_dict(module.state_dict())
            state = torch.get_rng_state()
            gradients, outputs, logits, _ = by_hand(twin, None, batch)
            torch.set_rng_state(state)
            A, B, C = (theta[f"net.0.{letter}"].detach().double() for letter in "ABC")
            h, labels = outputs[0].double(), F.one_hot(y, 3).double()
            sg, true = h @ A + labels @ B + C, len(x) * gradients[0].double()
            taken["error"] = ((sg - true).square().sum() / true.square().sum()).item()
            taken["angle"] = angles(sg, true).mean().item()
            implied = (h @ ((A + A.T) / 2) * h).sum(1) / 2 + ((labels @ B + C) * h).sum(1)
            losses = F.cross_entropy(logits, y, reduction="none").double()
            taken["implied"] = implied.mean().item()
            taken["correlation"] = np.corrcoef(implied.numpy(), losses.numpy())[0, 1]
            super().measure(trainer, module, batch, batch_index)

    monitor = Copy([20])
    monitor.on_train_end = lambda *_: None
    fit(tmp_path, [monitor], rule="sg", steps=22)
    assert 0 < taken["error"] < 3
    assert monitor.latest["sg/net.0/relative_error"] == pytest.approx(taken["error"], rel=1e-4)
    assert monitor.latest["sg/net.0/angle"] == pytest.approx(taken["angle"], abs=1e-3)
    assert monitor.latest["sg/net.0/implied_loss"] == pytest.approx(taken["implied"], rel=1e-4)
    assert monitor.latest["sg/net.0/loss_correlation"] == pytest.approx(taken["correlation"], abs=1e-4)
    assert 0 < monitor.latest["sg/net.0/antisymmetric_share"] < 1


@pytest.mark.parametrize("rule", ["sg", "sgprop"])
def test_the_synthetic_gradient_monitor_leaves_no_trace_and_logs_every_promised_name(tmp_path, rule):
    plain, _ = fit(tmp_path / "plain", rule=rule)
    watched, _ = fit(tmp_path / "watched", [SyntheticGradientMonitor(3)], rule=rule)
    assert all(torch.equal(t, watched.state_dict()[name]) for name, t in plain.state_dict().items())
    logged = {name for name in read_curve(tmp_path / "watched" / "metrics.csv") if name.startswith("sg/")}
    promised = {name.replace("<block>", block) for name in NAMES for block in ("net.0", "net.4")}
    assert logged == {name for name in promised if name.startswith("sg/")}


def test_the_synthetic_gradient_monitor_refuses_a_rule_without_synthetic_gradients(tmp_path):
    with pytest.raises(Exception, match=r"such as .sg.*DirectFeedbackAlignment"):
        fit(tmp_path, [SyntheticGradientMonitor(3)], rule="dfa", logger=False)
