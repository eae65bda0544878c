"""Oracle: processes with the same --out train every run once between them, and lose nothing of each other's."""

import subprocess
import sys
import threading

from replications.experiment import loop
from replications.experiment.results import read
from replications.experiment.session import conclude
from replications.experiment.sharing import alone, claimed
from tests.replications.test_results import a_session, runs


def test_a_claim_is_one_processs_until_it_is_done(tmp_path):
    with claimed(tmp_path, "fig1/run-seed0") as ours:
        assert ours
        with claimed(tmp_path, "fig1/run-seed0") as theirs:
            assert not theirs
        with claimed(tmp_path, "fig1/run-seed1") as other:
            assert other
    with claimed(tmp_path, "fig1/run-seed0") as ours:
        assert ours


def test_a_claim_ends_with_a_process_that_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from replications.experiment.sharing import claimed\n"
        "with claimed(Path(sys.argv[1]), 'run') as ours: print(ours, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "True\n"
        with claimed(tmp_path, "run") as ours:
            assert not ours
        process.kill()
        process.wait()
    with claimed(tmp_path, "run") as ours:
        assert ours


def test_two_calls_of_the_command_share_the_runs_and_both_end_with_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_LOOKS", 0.01)
    trained: dict[str, list[int]] = {"slow": [], "fast": []}
    begun, go = threading.Event(), threading.Event()
    first, second = a_session(tmp_path, seeds=4), a_session(tmp_path, seeds=4)

    def slow(run):
        trained["slow"].append(run.seed)
        begun.set()
        assert go.wait(30)
        return {"value": 10.0 + run.seed}

    def fast(run):
        trained["fast"].append(run.seed)
        if run.seed == 3:
            go.set()
        return {"value": 10.0 + run.seed}

    beside = threading.Thread(target=first.loop.finish, args=(runs(4), slow))
    beside.start()
    assert begun.wait(30)
    second.loop.finish(runs(4), fast)
    beside.join(30)
    assert trained == {"slow": [0], "fast": [1, 2, 3]}
    for session in (first, second):
        assert [record["metrics"]["value"] for record in session.loop.records] == [10.0, 11.0, 12.0, 13.0]
        conclude(session)
    assert sorted(run["seed"] for run in read(tmp_path / "results.json")["runs"]) == [0, 1, 2, 3]


def test_a_run_that_another_process_gave_up_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_LOOKS", 0.01)
    held, free = threading.Event(), threading.Event()

    def hold():
        with claimed(tmp_path, runs(1)[0].label):
            held.set()
            free.wait(30)

    beside = threading.Thread(target=hold)
    beside.start()
    assert held.wait(30)
    trained = []

    def train(run):
        trained.append(run.seed)
        free.set()
        return {"value": 1.0}

    a_session(tmp_path).loop.finish(runs(2), train)
    beside.join(30)
    assert trained == [1, 0]


def test_what_is_written_at_once_is_not_lost(tmp_path):
    """Each record is added to what the file says at that moment, not to what this process has read of it before."""
    first, second = a_session(tmp_path), a_session(tmp_path)
    first.loop.results.add_run({"seed": 0})
    second.loop.results.add_run({"seed": 1})
    first.loop.results.conclude({}, [])
    assert [run["seed"] for run in read(tmp_path / "results.json")["runs"]] == [0, 1]
    entered = threading.Event()

    def write():
        with alone(tmp_path):
            entered.set()

    with alone(tmp_path):
        beside = threading.Thread(target=write)
        beside.start()
        assert not entered.wait(0.2)
    assert entered.wait(30)
    beside.join(30)
