"""What arrives in TensorBoard, read back from its event files with TensorBoard's own reader."""

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lightning_fa.callbacks import NAMES, RuleConfig, SyntheticGradientMonitor
from replications.experiment.loggers import read_curve
from tests.callbacks.net import all_callbacks, pattern
from tests.trainer.test_wandb import train

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The numbers of the CSV, and the events, of a training with every callback."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path_factory.mktemp("run")
    logged_to = [TensorBoardLogger(folder, name="", version="tb"), CSVLogger(folder, name="", version="csv")]
    train(folder, logged_to, [*all_callbacks(), SyntheticGradientMonitor(3), RuleConfig()])
    events = EventAccumulator(
        str(folder / "tb"), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    )
    events.Reload()
    return read_curve(folder / "csv" / "metrics.csv"), events


def test_every_number_of_the_csv_is_in_tensorboard_at_its_step(finished):
    """A quantity that only one logger shows is found missing on the day it is needed."""
    curves, events = finished
    curves = {name: curve for name, curve in curves.items() if name != "epoch"}
    assert {name.split("/")[0] for name in curves} >= {"align", "probe", "rsm", "weights", "health", "sg", "train"}
    for name, curve in curves.items():
        seen = {event.step: event.value for event in events.Scalars(name)}
        assert seen == pytest.approx(curve, rel=1e-5, abs=1e-5, nan_ok=True), name


def test_every_promised_number_is_in_tensorboard_or_belongs_to_another_family_of_rules(finished):
    _, events = finished
    logged = events.Tags()["scalars"]
    elsewhere = ("/table", "/figure", "/histogram", "error_", "readout", "weight_")  # see tests/callbacks
    promised = [n for n in NAMES if not any(e in n for e in elsewhere)]
    assert len(promised) > 25
    assert [n for n in promised if not any(pattern(n).match(k) for k in logged)] == []


def test_every_promised_figure_is_an_image_of_the_last_step(finished):
    _, events = finished
    promised = [name for name in NAMES if name.endswith("/figure")]
    assert len(promised) == 4
    for name in promised:
        (image,) = events.Images(name)
        assert image.encoded_image_string[:8] == b"\x89PNG\r\n\x1a\n"
        assert image.step == 6
        assert min(image.width, image.height) > 100


def test_every_weight_has_its_histogram_at_every_measured_step(finished):
    _, events = finished
    for layer, entries in (("net.0", 160), ("net.4", 192), ("net.6", 36)):
        found = events.Histograms(f"weights/{layer}/histogram")
        assert [each.step for each in found] == [0, 3, 6]
        assert {each.histogram_value.num for each in found} == {entries}
        norm = events.Scalars(f"weights/{layer}/norm")[-1].value
        assert found[-1].histogram_value.sum_squares == pytest.approx(norm**2, rel=1e-4)


def test_the_rule_is_among_the_hyperparameters(finished):
    _, events = finished
    data = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"SyntheticGradient" in data
