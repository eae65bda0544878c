"""Oracle: what is logged can be read back, and W&B leaves no trace outside its folder."""

import os

import pytest
import wandb

from replications.experiment.loggers import loggers, read_curve

ABOUT = {"group": "toy2000/fig1", "rule": "dfa", "name": "fig1/dfa-seed0", "config": {"seed": 0}}


def log(folder, mode):
    with loggers(folder / "csv", folder, mode, **ABOUT) as chosen:
        for logger in chosen:
            logger.log_metrics({"angle/1": 3.5}, step=0)
            logger.log_metrics({"angle/1": 4.5, "readout/1": 70.0}, step=10)
            logger.log_metrics({"test": 93.0}, step=10)
            logger.save()
        return [type(logger).__name__ for logger in chosen]


def test_curves_are_read_from_the_csv_log_by_name_and_step(tmp_path):
    assert log(tmp_path, "off") == ["CSVLogger"]
    expected = {"angle/1": {0: 3.5, 10: 4.5}, "readout/1": {10: 70.0}, "test": {10: 93.0}}
    assert read_curve(tmp_path / "csv" / "metrics.csv") == expected


def test_wandb_offline_needs_no_key_and_writes_its_run_into_the_output_folder(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert log(tmp_path, "offline") == ["CSVLogger", "WandbLogger"]
    (run,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = run.read_bytes()
    for written in (b"toy2000/fig1", b"dfa", b"fig1/dfa-seed0", b"readout/1", b"trainer/global_step"):
        assert written in content
    assert "wandb" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_wandb_leaves_the_environment_as_it_was_so_that_a_later_online_run_is_online(tmp_path, monkeypatch, mode):
    """WandbLogger(offline=True) sets WANDB_MODE=dryrun for the rest of the process."""
    if mode is None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
    else:
        monkeypatch.setenv("WANDB_MODE", mode)
    before = dict(os.environ)
    log(tmp_path, "offline")
    assert dict(os.environ) == before
    assert wandb.run is None


def test_a_run_that_fails_is_closed_too(tmp_path):
    with pytest.raises(RuntimeError), loggers(tmp_path / "csv", tmp_path, "offline", **ABOUT):
        raise RuntimeError
    assert wandb.run is None
