"""GradientHealth: every trouble is named, with its cause, and no other."""

import pytest
import torch

import lightning_fa as fa
from lightning_fa.callbacks import GradientHealth
from replications.experiment.loggers import read_curve
from tests.callbacks.net import Net, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


def test_a_layer_whose_feedback_is_zero_is_named_with_that_cause(tmp_path):
    """One library shipped every hidden gradient silently zero."""
    rule = fa.DirectFeedbackAlignment(init={"net.0": torch.zeros(16, 3), "net.4": torch.randn(12, 3)})
    with pytest.warns(UserWarning, match=r"'net\.0'.*no signal.*the feedback of 'net\.0' is zero"):
        fit(tmp_path, [GradientHealth(1)], rule=rule, logger=False)


def test_a_layer_of_dead_units_is_named(tmp_path):
    module = Net()
    with torch.no_grad():
        module.net[4].bias.fill_(-100.0)
        module.net[4].bias[0] = 100.0
    with pytest.warns(UserWarning, match=r"'net\.4'.*dead.*92 % of its units"):
        fit(tmp_path, [GradientHealth(1)], rule="bp", module=module, logger=False)


@pytest.mark.parametrize("rule", ["bp", "fa"])
def test_input_channels_without_gradient_are_no_dead_units(tmp_path, rule):
    """Of a transposed convolution 38 of 40 idle inputs were reported as 95 % dead units. An embedding is not measured."""

    class Upwards(Net):
        def __init__(self):
            super().__init__()
            up = torch.nn.ConvTranspose1d(40, 2, 3)
            self.net = torch.nn.Sequential(torch.nn.Embedding(50, 40), up, torch.nn.Flatten(), torch.nn.Linear(6, 3))

        def forward(self, x):
            h = self.net[0]((x[:, 0] > 0).long()).unsqueeze(-1)
            return self.net[1:](torch.where(torch.arange(40)[:, None] < 2, h, 0))

    health = GradientHealth(1)
    fit(tmp_path, [health], rule=rule, module=Upwards(), logger=False)
    assert health.latest["health/net.1/dead_units"] == 0
    assert "health/net.0/dead_units" not in health.latest


def test_an_exploding_layer_is_named(tmp_path):
    class Exploding(Net):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (1e8 if batch_idx > 2 else 1)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-12)

    with pytest.warns(UserWarning, match=r"'net\.\d'.*exploding"):
        fit(tmp_path, [GradientHealth(1, patience=2)], rule="bp", module=Exploding(), steps=6, logger=False)


def test_a_healthy_run_warns_of_nothing_and_logs_norms(tmp_path):
    """Warnings are errors in this suite: a false alarm would fail here."""
    health = GradientHealth(2)
    fit(tmp_path, [health])
    assert health.latest["health/net.0/gradient_norm"] > 0
    assert sorted(read_curve(tmp_path / "metrics.csv")["health/net.6/dead_units"]) == [0, 2, 4, 6, 8, 10]


def test_trouble_in_a_single_step_is_no_trouble(tmp_path):
    """A GradScaler looks for the largest factor by overflowing now and then."""

    class Once(Net):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (0 if batch_idx == 2 else 1)

    fit(tmp_path, [GradientHealth(1)], rule="bp", module=Once(), logger=False)


def test_trouble_at_every_other_check_is_not_in_a_row(tmp_path):
    """A scaler that overflows now and then must not add up to an alarm."""

    class Now(Net):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * (batch_idx % 2)

    fit(tmp_path, [GradientHealth(1)], rule="bp", module=Now(), logger=False)
