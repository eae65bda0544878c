"""Oracle: the schema of results.json, and that a cut loses nothing that was finished."""

import json
from pathlib import Path

import pytest

from replications.data import digits
from replications.errors import ReplicationError
from replications.experiment.loop import Loop
from replications.experiment.registry import Paper
from replications.experiment.results import CLAIM_KEYS, KEYS, Results, read
from replications.experiment.run import Hardware, Run
from replications.experiment.session import Session, conclude
from tests.replications.test_claims import a_claim


def a_session(out: Path, seeds: int = 2, hardware: Hardware | None = None) -> Session:
    claims = (a_claim(), a_claim(id="other", experiment="fig2"))
    paper = Paper("toy2000", "Toy", {"fig1": "", "fig2": ""}, {"quick": None}, {"quick": 1}, ("digits",), claims, print)
    results = Results(out, "toy2000", "quick", "digits")
    loop = Loop(results, hardware or Hardware())
    return Session(paper, ("fig1",), "quick", None, range(seeds), digits.read(), out, "off", loop)


def runs(seeds: int, steps: int = 5) -> list[Run]:
    from replications.papers.gilmer2017.settings import Settings

    return [Run("fig1", "run", "dfa", seed, Settings(max_steps=steps)) for seed in range(seeds)]


def finish(session: Session, todo: list[Run], cut_at: int | None = None) -> list[int]:
    """The seeds that were really trained."""
    trained = []

    def train(run: Run) -> dict[str, float]:
        if run.seed == cut_at:
            raise KeyboardInterrupt
        trained.append(run.seed)
        return {"value": 12.0 + run.seed}

    session.loop.finish(todo, train)
    return trained


def test_results_json_is_one_object_with_the_agreed_keys(tmp_path):
    session = a_session(tmp_path)
    finish(session, runs(2))
    conclude(session)
    content = json.loads((tmp_path / "results.json").read_text())
    assert tuple(content) == KEYS == ("paper", "preset", "dataset", "environment", "claims", "runs")
    (claim,) = content["claims"]
    assert tuple(claim) == CLAIM_KEYS
    assert (claim["value"], claim["n"], claim["expected"]) == (
        12.5,
        2,
        "expected [not judged: the claim is about mnist and this is digits]",
    )
    assert [run["metrics"]["value"] for run in content["runs"]] == [12.0, 13.0]
    environment = content["environment"]
    assert {"python", "torch", "lightning", "torchmetrics", "lightning_fa", "commit", "machine", "wall_time_s"} <= set(
        environment
    )
    assert {"cpu", "cores", "os"} <= set(environment["machine"])


def test_no_path_of_this_machine_is_in_results_json(tmp_path):
    session = a_session(tmp_path, seeds=1)
    finish(session, runs(1))
    conclude(session)
    text = (tmp_path / "results.json").read_text()
    assert str(tmp_path) not in text
    assert str(Path.home()) not in text


def test_a_cut_replication_keeps_its_finished_runs_and_goes_on_after_them(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        finish(a_session(tmp_path), runs(3), cut_at=1)
    assert [run["seed"] for run in read(tmp_path / "results.json")["runs"]] == [0]
    assert finish(a_session(tmp_path), runs(3)) == [1, 2]
    assert finish(a_session(tmp_path), runs(3)) == []


def test_a_run_with_other_settings_or_hardware_is_not_the_same_run(tmp_path):
    finish(a_session(tmp_path), runs(1))
    assert finish(a_session(tmp_path), runs(1, steps=6)) == [0]
    assert finish(a_session(tmp_path, hardware=Hardware(precision="bf16-mixed")), runs(1)) == [0]


def test_claims_are_judged_over_the_seeds_asked_for_and_not_over_all_in_the_folder(tmp_path):
    finish(a_session(tmp_path), runs(2))
    session = a_session(tmp_path, seeds=1)
    finish(session, runs(1))
    conclude(session)
    assert session.loop.results.content["claims"][0]["value"] == 12.0
    assert len(session.loop.results.content["runs"]) == 2


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("paper", ("other2000", "quick", "digits")),
        ("preset", ("toy2000", "full", "digits")),
        ("dataset", ("toy2000", "quick", "mnist")),
    ],
)
def test_results_of_another_kind_are_not_mixed_into_one_folder(tmp_path, key, arguments):
    finish(a_session(tmp_path), runs(1))
    with pytest.raises(ReplicationError, match=f"to be of {key} .* Choose another --out"):
        Results(tmp_path, *arguments)


def test_a_damaged_results_file_is_named_and_not_overwritten(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('{"paper": ')
    with pytest.raises(ReplicationError, match=r"Expected JSON in .*results\.json"):
        Results(tmp_path, "toy2000", "quick", "digits")
    path.write_text('{"paper": "toy2000"}')
    with pytest.raises(ReplicationError, match="lacks preset"):
        Results(tmp_path, "toy2000", "quick", "digits")
    assert path.read_text() == '{"paper": "toy2000"}'


def test_a_failed_write_leaves_the_previous_file(tmp_path):
    """Written in place, a value that JSON has no word for would destroy the hours before it."""
    results = Results(tmp_path, "toy2000", "quick", "digits")
    results.add_run({"seed": 0})
    before = results.path.read_text()
    with pytest.raises(ValueError, match="JSON"):
        results.add_run({"seed": float("nan")})
    assert results.path.read_text() == before


def test_a_diverged_run_is_kept_as_null_and_its_claims_fail(tmp_path):
    """JSON has no nan: raising would lose the run, a number in its place would be invented."""
    session = a_session(tmp_path, seeds=1)
    session.loop.finish(runs(1), lambda run: {"value": float("nan")})
    conclude(session)
    content = read(tmp_path / "results.json")
    assert content["runs"][0]["metrics"] == {"value": None}
    assert content["claims"][0]["value"] is None
