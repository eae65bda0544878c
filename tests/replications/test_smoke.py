"""Oracle: what a new user gets who has neither data nor network and runs the README's command."""

import csv
import json

import pytest
import torch

from replications.cli import main
from replications.experiment.loggers import read_curve
from replications.experiment.results import CLAIM_KEYS


@pytest.fixture
def replicated(tmp_path, capsys):
    """Status, output folder and what was printed."""
    out = tmp_path / "out"
    status = main(["gilmer2017", "--preset", "smoke", "--out", str(out)])
    return status, out, capsys.readouterr().out


def test_smoke_end_to_end(replicated, capsys):
    status, out, printed = replicated
    results = json.loads((out / "results.json").read_text())
    assert status == 0

    # it says that other data stand in, and judges nothing
    assert "STAND-IN DATA" in printed
    assert results["dataset"] == "digits (stand-in)"
    assert {claim["verdict"] for claim in results["claims"]} == {"reported"}
    assert all("not judged" in claim["expected"] for claim in results["claims"] if claim["tolerance"])
    assert all(tuple(claim) == CLAIM_KEYS for claim in results["claims"])
    for claim in results["claims"]:
        assert claim["statement"] in printed

    # the rule was on: the angle between e^i and e^y grows from nearly nothing, and readouts no one trained begin to work
    curve = read_curve(out / "logs" / "fig1" / "lafs-seed0" / "metrics.csv")
    assert set(curve["error_angle/1"]) == {0, 1, 3, 10, 30}
    assert curve["readout/1"][30] > curve["readout/1"][0] + 10
    assert curve["error_angle/1"][0] < 5

    # figures, logs, W&B
    for name in ("fig1-left", "fig1-right", "alignment", "b-scale"):
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "digits (stand-in)" in (out / "figures" / f"{name}.svg").read_text()
    assert len(list(out.glob("wandb/offline-run-*"))) == len(results["runs"]) == 8

    # started again, nothing is repeated
    before = [run["metrics"] for run in results["runs"]]
    assert main(["gilmer2017", "--preset", "smoke", "--out", str(out)]) == 0
    assert capsys.readouterr().out.count("finished earlier") == 8
    assert [run["metrics"] for run in json.loads((out / "results.json").read_text())["runs"]] == before


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path):
    arguments = ["gilmer2017/fig1", "--preset", "smoke", "--seeds", "2", "--wandb", "off", "--dataset", "digits"]
    arguments += ["--settings.hidden=[16,16]", "--settings.max_steps=5", "--settings.probe_samples=100"]
    found = []
    for name, unrelated in (("a", 1), ("b", 2)):
        torch.manual_seed(unrelated)
        main([*arguments, "--out", str(tmp_path / name)])
        found.append([run["metrics"] for run in json.loads((tmp_path / name / "results.json").read_text())["runs"]])
    assert found[0] == found[1]
    assert found[0][0] != found[0][2]


def test_one_experiment_alone_is_run_and_judged_alone(tmp_path):
    out = tmp_path / "out"
    main(["gilmer2017/discussion", "--preset", "smoke", "--dataset", "digits", "--wandb", "off", "--out", str(out)])
    results = json.loads((out / "results.json").read_text())
    assert [run["name"] for run in results["runs"]] == ["bp", "bp-1-layer"]
    assert {claim["id"] for claim in results["claims"]} == {"one-hidden-layer", "backprop", "backprop-below-fresh"}
    assert not (out / "figures").exists()
    with (out / "logs" / "discussion" / "bp-seed0" / "metrics.csv").open() as file:
        assert "test/accuracy" in next(csv.reader(file))
