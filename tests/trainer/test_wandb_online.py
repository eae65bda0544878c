"""Real online W&B runs against a service on the loopback interface, which dies in the middle of training."""

import json
import os
import time

import pytest

from replications.experiment import loggers
from replications.experiment.loggers import read_curve
from tests.commands import ROOT, Command, run
from tests.wandb_files import read
from tests.wandb_server import KEY, rows, serving, wait

wandb = pytest.importorskip("wandb")
SECONDS = 2
"""What the end of a run may wait for a dead service."""

IMPATIENT = {"WANDB_X_GRAPHQL_RETRY_MAX": "1", "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "1"}
"""W&B asks a service that does not answer for 20 seconds, and once more for each table."""

SCRIPT = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import torch
torch.set_num_threads(1)
from lightning.pytorch import Callback
from lightning_fa.callbacks import AlignmentMonitor, WeightNorms
from replications.experiment import loggers as ours
from tests.trainer.test_wandb import train

folder = Path(sys.argv[1])

class Pause(Callback):
    # in the middle, until the service is dead
    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == 6:
            (folder / "half").touch()
            while not (folder / "on").exists():
                time.sleep(0.02)

about = {"group": "gilmer2017/fig1", "rule": "dfa", "name": "online", "config": {"seed": 0}}
with ours.loggers(folder / "csv", folder, "online", **about) as logged_to:
    train(folder, logged_to, [AlignmentMonitor(3), WeightNorms(3), Pause()], rule="dfa", steps=12)
    ended = time.monotonic()
print(json.dumps({"finish": time.monotonic() - ended}))
"""


def environment(folder, service, **more):
    ours = {"WANDB_BASE_URL": service.url, "WANDB_API_KEY": KEY, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    folders = {f"WANDB_{kind}_DIR": str(folder / "wandb-own") for kind in ("CONFIG", "CACHE", "DATA")}
    return {**os.environ, **ours, **folders, "WANDB_FINISH_TIMEOUT": str(SECONDS), **more}


def start(folder, service, **more):
    return Command("-c", SCRIPT, folder, env=environment(folder, service, **more))


def ended(process):
    try:
        code = process.wait(150)
    finally:
        process.kill()
    said, errors = process.said()
    assert code == 0, errors[-3000:]
    return json.loads(said.splitlines()[-1]), errors


def whole(folder, kind):
    """The run on disk, in which everything of the CSV is."""
    curves = read_curve(folder / "csv" / "metrics.csv")
    assert set(curves["train/loss"]) == set(range(12))
    assert set(curves["align/net.0/angle"]) == {0, 3, 6, 9, 12}
    (path,) = (folder / "wandb").glob(f"{kind}-*")
    run = read(path)
    for name, curve in curves.items():
        if name != "epoch":
            assert run.curve(name) == pytest.approx(curve, rel=1e-9), name
    assert run.finished
    return path, curves


@pytest.mark.parametrize("death", ["error", "gone"])
def test_a_service_that_dies_in_the_middle_ends_no_training_and_a_later_sync_brings_everything(tmp_path, death):
    """W&B's own default is to wait for days at the end of a run."""
    with serving() as service:
        process = start(tmp_path, service, **IMPATIENT)
        try:
            wait((tmp_path / "half").exists, 100)
            assert "UpsertBucket" in service.asked
            service.mode = death
            (tmp_path / "on").touch()
            begun = time.monotonic()
            took, _ = ended(process)
        finally:
            process.kill()
        assert time.monotonic() - begun < 100
        assert took["finish"] < SECONDS + 20
        path, curves = whole(tmp_path, "run")
        for table in ("align/table", "weights/table"):  # which W&B asks the service about before it writes them
            value, file = read(path).media(table)
            assert (value["_type"], json.loads(file.read_text())["columns"][0]) == ("table-file", "layer")
        (name,) = service.runs
        assert len(rows(service, name)) < len(read(path).history)

        service.mode = "well"
        env = environment(tmp_path, service)
        run("-m", "wandb", "sync", "--include-online", path, cwd=tmp_path, env=env, timeout=100, check=True)
        arrived = [row for row in rows(service, name) if "align/net.0/angle" in row]
        angles = {row["trainer/global_step"]: row["align/net.0/angle"] for row in arrived}
        assert angles == pytest.approx(curves["align/net.0/angle"])
        assert sum(file.endswith(".table.json") for file in service.files) == 2
        assert sum(file.endswith(".png") for file in service.files) == 2


def test_a_service_that_is_dead_from_the_start_makes_the_run_an_offline_one_and_says_so(tmp_path):
    with serving("error") as service:
        (tmp_path / "on").touch()
        _, errors = ended(start(tmp_path, service, WANDB_INIT_TIMEOUT="4"))
        whole(tmp_path, "offline-run")
    assert "W&B does not answer" in errors
    assert "`wandb sync` them later" in errors


@pytest.mark.parametrize(("name", "offline"), [("Error", True), ("CommError", True), ("UsageError", False)])
def test_what_a_user_cannot_mend_makes_the_run_an_offline_one(name, offline, monkeypatch, capsys):
    """W&B raises another class where its retries are used up than where its time is."""
    error, modes = getattr(wandb.errors, name), []

    def init(mode, **_):
        modes.append(mode)
        if mode == "online":
            raise error("no answer")
        return "an offline run"

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(loggers, "_UNREACHABLE", set())
    if not offline:
        with pytest.raises(error):
            loggers._start("online", {})
        return
    assert loggers._start("online", {}) == "an offline run"
    assert loggers._start("online", {}) == "an offline run"
    assert modes == ["online", "offline", "offline"]  # not asked again for each of a hundred runs
    assert "kept offline" in capsys.readouterr().err
