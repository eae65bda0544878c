"""A real offline W&B run, read back from its file; and a service that fails, without harm to the training."""

import importlib.metadata
import json
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger

import lightning_fa as fa
from lightning_fa.callbacks import NAMES, RuleConfig, SyntheticGradientMonitor
from replications.experiment.loggers import loggers, read_curve
from tests.callbacks.net import Net, all_callbacks, data, pattern
from tests.wandb_files import offline_runs

pytest.importorskip("wandb")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:There is a wandb run already in progress"),
]


def train(folder, logged_to, callbacks, rule="sg", steps=6):
    torch.manual_seed(0)
    module = Net()
    trainer = Trainer(
        max_steps=steps,
        max_epochs=9,
        accelerator="cpu",
        logger=logged_to,
        log_every_n_steps=1,
        strategy=fa.FeedbackStrategy(rule),
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    torch.manual_seed(1)
    trainer.fit(module, data()[0])
    return module


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder and the offline run of a training with every callback."""
    folder = tmp_path_factory.mktemp("run")
    callbacks = [*all_callbacks(), SyntheticGradientMonitor(3), RuleConfig({"commit": "abc123"})]
    names = {"group": "gilmer2017/fig1", "rule": "sg", "name": "fig1/sg-seed0"}
    with loggers(folder / "csv", folder, "offline", **names, config={"seed": 0, "lr": 0.05}) as logged_to:
        train(folder, logged_to, callbacks)
    (run,) = offline_runs(folder)
    return folder, run


def test_every_number_of_the_csv_is_in_the_offline_run_at_its_step(finished):
    """A key that W&B drops, or a step that it shifts, is noticed when the paper is written and not before."""
    folder, run = finished
    curves = read_curve(folder / "csv" / "metrics.csv")
    curves.pop("epoch")
    assert {name.split("/")[0] for name in curves} >= {"align", "probe", "rsm", "weights", "health", "sg", "train"}
    for name, curve in curves.items():
        assert run.curve(name) == pytest.approx(curve, rel=1e-9, nan_ok=True), name
    assert run.finished


def test_every_promised_table_figure_and_histogram_is_a_file_of_the_run(finished):
    _, run = finished
    promised = [name for name in NAMES if name.endswith(("/table", "/figure"))]
    assert len(promised) == 8
    for name in promised:
        value, path = run.media(name)
        assert value["_type"] == ("table-file" if name.endswith("table") else "images/separated"), name
        assert path.stat().st_size > 100, name
    table = json.loads(run.media("probe/table")[1].read_text())
    assert table["columns"][:2] == ["layer", "train_accuracy"]
    assert [row[0] for row in table["data"]] == ["net.0", "net.4", "net.6"]
    accuracy = dict(zip(table["columns"], table["data"][0]))["converged_test_accuracy"]
    assert accuracy == run.history[-1].get("x", accuracy)
    assert accuracy in run.curve("probe/net.0/converged_test_accuracy").values()
    histogram = run.media("weights/net.4/histogram")[0]
    assert histogram["_type"] == "histogram"
    assert sum(histogram["values"]) == 16 * 12
    assert run.media("align/figure")[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_every_promised_number_is_in_the_offline_run_or_belongs_to_another_family_of_rules(finished):
    _, run = finished
    logged = set().union(*run.history)
    elsewhere = ("error", "readout", "weight_")  # direct and transport rules only: see tests/callbacks
    missing = [n for n in NAMES if not any(pattern(n).match(k) for k in logged) and not any(e in n for e in elsewhere)]
    assert missing == []


def test_the_offline_run_says_what_it_was_made_with(finished):
    _, run = finished
    assert (run.group, run.job_type, run.name) == ("gilmer2017/fig1", "sg", "fig1/sg-seed0")
    assert run.config["seed"] == 0
    assert run.config["feedback"]["rule"] == "SyntheticGradient"
    assert run.config["feedback"]["seed"] == 0
    assert run.config["blocks"] == ["net.0", "net.4", "net.6"]
    assert run.config["versions"]["torch"] == importlib.metadata.version("torch")
    assert run.config["commit"] == "abc123"


class Broken(WandbLogger):
    """A service that has died: every call fails."""

    name = version = save_dir = experiment = None

    def __init__(self):
        pass

    def log_metrics(self, *_, **__):
        raise ConnectionError("the service is gone")

    log_table = log_image = log_metrics

    def log_hyperparams(self, *_, **__):
        pass

    log_graph = save = finalize = after_save_checkpoint = log_hyperparams


def test_a_service_that_dies_stops_no_training_and_costs_no_local_number(tmp_path, logged):
    """A training of days must not end because a web service does."""
    from lightning.pytorch.loggers import CSVLogger

    class Quiet(Net):
        def log(self, *_, **__):
            pass

    torch.manual_seed(0)
    trainer = Trainer(
        max_steps=6,
        accelerator="cpu",
        logger=[Broken(), CSVLogger(tmp_path, name="", version="")],
        log_every_n_steps=1,
        strategy=fa.FeedbackStrategy("dfa"),
        callbacks=all_callbacks(),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(Quiet(), data()[0])
    assert "ConnectionError" in logged.getvalue()
    assert set(read_curve(tmp_path / "metrics.csv")["align/net.0/angle"]) == {0, 3, 6}


def test_importing_the_library_imports_neither_wandb_nor_matplotlib():
    """Both belong to extras, and each costs about a second."""
    code = """
import sys
import lightning.pytorch, lightning.pytorch.loggers, torchmetrics  # which imports matplotlib for its own sake
extras = lambda: sorted(m for m in ("wandb", "matplotlib", "sklearn", "replications") if m in sys.modules)
without = extras()
import lightning_fa, lightning_fa.metrics, lightning_fa.callbacks
assert extras() == without, (extras(), without)
assert "wandb" not in without
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
