"""A pipeline from its start to its end: how it is launched, what it refuses, saves and survives."""

import random
import re
import time
from pathlib import Path

import pytest
import torch

import lightning_fa as fa
from tests.commands import run
from tests.distributed.launch import environment, launch, read, start
from tests.distributed.pipeline_jobs import REFUSED, decide
from tests.distributed.pipeline_net import Learner, fit
from tests.distributed.test_pipeline import assert_close

pytestmark = pytest.mark.distributed


def test_stopping_and_the_best_checkpoint_are_those_of_one_process(tmp_path):
    """Ranks that decide by placeholders stop at different times, and wait for one another for ever."""
    (one := tmp_path / "one").mkdir()
    (several := tmp_path / "several").mkdir()
    expected = decide(fa.FeedbackStrategy(fa.LinearAlignedFeedback()), 1, one)
    assert 2 < expected["epochs"] < 60  # it was stopped
    first, *others = launch("decided", several, 3)
    for key in ("epochs", "path"):
        assert first[key] == expected[key], key
        assert all(results[key] == expected[key] for results in others)
    for key in ("test", "validate"):
        assert first[key] == pytest.approx(expected[key], rel=1e-9)
        assert all(results[key] == first[key] for results in others)
    torch.testing.assert_close(first["predict"], expected["predict"], rtol=1e-9, atol=1e-12)
    assert {p.name for p in several.glob("*.ckpt")} == {p.name for p in one.glob("*.ckpt")}


@pytest.mark.parametrize("rule", ["lafs", "local"])
def test_a_checkpoint_of_some_stages_is_continued_by_any_number_of_them(rule, tmp_path):
    """Weights, learned feedback and Adam's moments of every stage must be in the one file, also when `fit` has ended."""
    for name in ("whole", "two", "three"):
        (tmp_path / name).mkdir()
    whole = launch("epochs", tmp_path / "whole", 1, rule=rule, until=4)[0]
    launch("epochs", tmp_path / "two", 2, rule=rule, until=2)
    saved = torch.load(tmp_path / "two" / "last.ckpt", weights_only=True)
    plain = Learner()
    plain.load_state_dict(saved["state_dict"], strict=True)
    after = torch.load(tmp_path / "two" / "after.ckpt", weights_only=True)
    moments, later = (file["optimizer_states"][0]["state"] for file in (saved, after))
    assert later.keys() == moments.keys()
    for parameter, state in moments.items():
        assert_close(later[parameter], state)
    (tmp_path / "three" / "last.ckpt").write_bytes((tmp_path / "two" / "after.ckpt").read_bytes())
    for results in launch("epochs", tmp_path / "three", 3, rule=rule, until=4):
        assert results["steps"] == whole["steps"]
        assert_close(results["weights"], whole["weights"])
        assert_close(results["feedback"], whole["feedback"])
    # and by none
    net = Learner()
    kind = {"lafs": fa.LinearAlignedFeedback, "local": fa.LocalLosses}[rule]
    fit(fa.FeedbackStrategy(kind()), 1, net, shuffle=False, max_epochs=4, ckpt_path=tmp_path / "two" / "last.ckpt")
    assert_close(dict(net.state_dict()), whole["weights"])
    assert (plain.net[0].weight - net.net[0].weight).abs().max() > 1e-3  # it went on


LAST = 15
"""The epoch at which runs end that nobody kills."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return launch("epochs", tmp_path_factory.mktemp("undisturbed"), 3, rule="lafs", until=LAST)


@pytest.mark.parametrize(
    "victim", [0, 1]
)  # that which the others report to, and one that is waited for from both sides
def test_when_one_rank_is_killed_the_others_end_with_an_error_and_the_run_resumes(victim, undisturbed, tmp_path):
    """A rank that waits for the dead holds its machine until someone looks."""
    killed, run_of = tmp_path, {"rule": "lafs", "until": LAST}
    done = killed / "last.reached"
    with start("epochs", killed, 3, **run_of, pause=0.02) as ranks:
        ranks.until(lambda: done.exists() and len(done.read_text().split()) >= 3)
        time.sleep(random.Random(victim).uniform(0, 0.1))
        ranks.processes[victim].kill()
        ranks.until(lambda: all(p.exitcode is not None for p in ranks.processes), timeout=60)
        assert all(p.exitcode != 0 for p in ranks.processes)
    for rank in range(3):
        assert not (killed / f"rank{rank}.pt").exists()
        assert rank == victim or "Error" in (killed / f"log{rank}.txt").read_text()
    assert 3 <= int(done.read_text().split()[-1]) < LAST
    for ours, theirs in zip(launch("epochs", killed, 3, **run_of), undisturbed):
        assert_close(ours["weights"], theirs["weights"])


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    return launch("refused", tmp_path_factory.mktemp("refused"), 3)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_be_exact_is_refused_on_every_rank(refusals, name):
    """A rank that goes on while another has refused waits for it for ever."""
    for results in refusals:
        assert REFUSED[name][-1] in results[name]


def test_data_of_its_own_for_each_rank_is_an_error(tmp_path):
    """The first stage would learn from the inputs of one batch, and from the labels of it, and the last from another's."""
    with start("divided_data", tmp_path, 2) as ranks:
        ranks.wait(100)
    assert "activations of another batch" in read(tmp_path, 0)["error"]
    assert "the weights of its own stage only" in read(tmp_path, 0)["saved"]  # and no file with weights that are NaN


@pytest.mark.parametrize("by", [0, 1])
def test_rank_0_stops_all_stages_or_there_is_an_error(by, tmp_path):
    """A stage that has begun another batch would wait for ever for one that has left the epoch."""
    with start("stopped", tmp_path, 2, by=by) as ranks:
        ranks.until(lambda: all(p.exitcode is not None for p in ranks.processes), timeout=60)
    first = read(tmp_path, 0)
    assert "within an epoch on some ranks" in str(first.pop("alone"))
    assert first == {"told": 3, "last batch": 6, "hook": 4}
    others = read(tmp_path, 1)
    assert "Error" in str(others.pop("alone"))
    assert others == first


def test_a_parameter_applied_to_the_input_outside_of_forward_is_an_error(tmp_path):
    """Its gradient arrives in the first stage, and its owner, the last, would never train it."""
    with start("outside", tmp_path, 2) as ranks:
        ranks.wait(100)
    assert "'scale' is applied to an input of the network outside of `forward`" in read(tmp_path, 0)["error"]


def test_a_stage_begins_its_next_batches_while_the_one_above_is_in_its_first(tmp_path):
    """Lightning asks rank 0 before every batch whether to end: stages then compute one after the other, and nothing is won."""
    assert launch("ahead", tmp_path, 2)[0]["seen"]


def test_the_user_names_stages(tmp_path):
    """Where memory decides, or where one device is faster."""
    stages = {"net.0": 0, "net.2": 1, "net.5": 1, "net.7": 2}
    (one := tmp_path / "one").mkdir()
    expected = launch("epochs", one, 1, rule="lafs", until=2)[0]
    named = [[name for name, stage in stages.items() if stage == s] for s in range(3)]
    for results in launch("epochs", tmp_path, 3, rule="lafs", until=2, stages=named):
        assert results["stages"] == stages
        assert_close(results["weights"], expected["weights"])


SCRIPT = """
import atexit
import glob
import sys
import os
from pathlib import Path
import torch
import torch.distributed as dist
import lightning_fa
from tests.distributed.pipeline_net import Learner, fit

@atexit.register  # before the Trainer's own, and therefore called after them
def leave():
    threads = [Path(f).read_text() for f in glob.glob("/proc/self/task/*/comm")]  # of Linux: elsewhere none is seen
    with open(sys.argv[3] + ".left", "a") as file:
        print(dist.is_initialized() or any("gloo" in name for name in threads), file=file)

if __name__ == "__main__":
    net = Learner()
    fit(sys.argv[1], int(sys.argv[2]), net)
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        torch.save(net.state_dict(), sys.argv[3])
"""


@pytest.mark.parametrize("strategy", ["lafs_pipeline", "lafs_pipeline_spawn", "lafs_pipeline_fork"])
def test_a_script_that_names_the_strategy_starts_its_processes(strategy, tmp_path):
    """As Lightning starts its own: by the Trainer, with no other command. No process ends with a connection or its thread."""
    (script := tmp_path / "train.py").write_text(SCRIPT)
    net = Learner()
    fit("lafs", 1, net)
    out = tmp_path / "out.pt"
    env = {k: v for k, v in environment().items() if k not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    done = run(script, strategy, 2, out, env=env, timeout=200)
    assert out.exists(), done.stderr[-3000:]
    assert_close(torch.load(out, weights_only=True), dict(net.state_dict()))
    said = re.findall(r"of (\d+) weight matrices (\d+) learn by the rule", done.stdout + done.stderr)
    assert said
    left = Path(f"{out}.left").read_text().split()
    assert len(left) == {"lafs_pipeline": 2, "lafs_pipeline_spawn": 3, "lafs_pipeline_fork": 1}[strategy]
    assert set(left) == {"False"}
    assert said[0][0] == said[0][1]  # those of other stages are not on this rank, and learn all the same
