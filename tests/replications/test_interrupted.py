"""Ctrl-C: one status, one line that says how to go on, and nothing of a cut run is published."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import wandb

from replications.experiment.loggers import CUT, is_whole, loggers
from replications.reporting import publishing
from replications.reporting.finding import Found
from replications.reporting.page import page
from tests.commands import Command
from tests.distributed.launch import environment

ABOUT = {"group": "toy2000/fig1", "rule": "dfa", "name": "fig1/dfa-seed0", "config": {"seed": 0}}
LINE = re.compile(r"^interrupted; the same command with --out (\S+) continues it$", re.MULTILINE)


def interrupted(folder, target, until, wandb_mode):
    """Start the smoke preset as a user does, press Ctrl-C when its output says `until`; status, standard error, folder."""
    out = folder / "out"
    options = ("--preset", "smoke", "--out", out, "--accelerator", "cpu", "--wandb", wandb_mode)
    env = environment(LIGHTNING_FA_DATA=os.environ.get("LIGHTNING_FA_DATA", ""))
    command = Command("-m", "replications", target, *options, env=env)
    end = time.monotonic() + 240
    while until not in "".join(command.said()) and command.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    command.send(signal.SIGINT)  # a terminal sends it to all processes of the command
    return command.wait(120), "".join(command.said()), out


@pytest.mark.parametrize(
    ("target", "until"),
    [("gilmer2017/fig1", "run 2/"), ("czarnecki2017/table1", "run 1/")],
    ids=["in a fit", "outside"],
)
def test_an_interrupted_command_says_how_to_go_on(tmp_path, target, until):
    """Status 1 would mean that a claim failed; a traceback says nothing."""
    status, said, out = interrupted(tmp_path, target, until, "off")
    assert status == 130, said
    assert "Traceback" not in said
    assert LINE.findall(said) == [str(out)]


def test_a_cut_run_is_marked_and_not_published(tmp_path, monkeypatch):
    """Charts would show it beside its complete successor, under the same name."""
    for cut in (True, False):
        try:
            with loggers(tmp_path / "csv", tmp_path, "offline", **ABOUT) as (_, logger):
                logger.log_metrics({"angle": 3.5}, step=0)
                if cut:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert wandb.run is None
    folders = sorted(tmp_path.glob("wandb/offline-run-*"))
    assert sorted(is_whole(folder) for folder in folders) == [False, True]
    (first,) = [folder for folder in folders if not is_whole(folder)]
    assert CUT.encode() in next(first.glob("*.wandb")).read_bytes()
    sent = []

    def sync(command, **_):
        sent.append(command[-1])
        (Path(command[-1]) / "run.synced").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(publishing.subprocess, "run", sync)
    publishing.sync(folders, "e", "p")
    assert sent == [str(folder) for folder in folders if folder != first]


def test_a_run_that_was_killed_is_not_whole(tmp_path):
    """kill -9 leaves no mark, and a file without its last record."""
    with loggers(tmp_path / "csv", tmp_path, "offline", **ABOUT):
        pass
    (run,) = tmp_path.glob("wandb/offline-run-*")
    (file,) = run.glob("*.wandb")
    assert is_whole(run)
    file.write_bytes(file.read_bytes()[:-60])
    assert not is_whole(run)


def test_a_report_of_a_cut_run_says_that_it_is_unfinished(tmp_path):
    """An empty table of claims looks like a paper without any."""
    content = {
        "paper": "gilmer2017",
        "preset": "smoke",
        "dataset": "mnist",
        "environment": {},
        "claims": [],
        "runs": [],
    }
    assert "Unfinished: it was cut after 0 runs" in page([Found(tmp_path, content)])
