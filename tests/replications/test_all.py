"""Oracle: all papers in one go, whatever becomes of one of them."""

import errno
import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from replications import papers as package
from replications.cli import main, parser
from replications.data import digits
from replications.experiment import prepare, registry
from replications.experiment import results as results_module
from replications.experiment.run import Run
from replications.judging.claims import HOLDS

PAPER = """
from dataclasses import dataclass
from replications.judging.claims import Claim
from replications.experiment.run import Run

@dataclass(frozen=True)
class Settings:
    steps: int = 1

TITLE, EXPERIMENTS = "A toy", {"fig1": "one number"}
PRESETS, SEEDS, DATASETS = {"smoke": Settings()}, {"smoke": 2}, ("mnist", "digits")
CLAIMS = (
    Claim("c", "the number of NAME", lambda runs: runs["r"]["value"], experiment="fig1", expected="about 1 [or 2]",
          tolerance=(0, 10), judged_from="smoke", datasets=("digits (stand-in)",)),
)
TRAINED, VALUE, BREAKS_AT = [], 1.0, None

def run(session):
    session.loop.finish([Run("fig1", "r", "bp", seed, Settings()) for seed in session.seeds], train)

def train(run):
    if run.seed == BREAKS_AT:
        raise RuntimeError("the optimiser is on fire")
    TRAINED.append(run.seed)
    return {"value": VALUE}
"""
NAMES = ["toy2000", "toy2001", "toy2002"]


@pytest.fixture
def papers(tmp_path, monkeypatch):
    """Three papers that are there in place of the real ones, by name."""
    folder = tmp_path / "papers"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(PAPER.replace("NAME", name))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    monkeypatch.setattr(registry, "names", lambda: NAMES)
    yield {name: importlib.import_module(f"replications.papers.{name}") for name in NAMES}
    for name in NAMES:
        sys.modules.pop(f"replications.papers.{name}")


def everything(out, *more):
    return main(["all", "--preset", "smoke", "--wandb", "off", "--out", str(out), *more])


def results(out, name):
    return json.loads((out / name / "results.json").read_text())


def test_all_papers_are_run_without_data_or_network_and_shown_in_one_table(papers, tmp_path, capsys):
    assert everything(tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert printed.count("| paper | claim | paper says | accepted | we got | verdict |") == 1
    for name in NAMES:
        expected = f"about 1 [or 2] [{HOLDS}]"
        row = f"| {name} | the number of {name} | {expected} | 0 to 10 | 1.00 [1.00, 1.00] (n=2) | reported |"
        assert row in printed
        assert f"{name}: 0 reproduced, 0 failed, 1 reported (digits (stand-in), preset smoke)" in printed
        assert papers[name].TRAINED == [0, 1]
    assert printed.index("paper 3/3") < printed.index("| paper |") < printed.index("toy2000: 0 reproduced")


def test_all_goes_on_where_it_was_cut(papers, tmp_path):
    def cut(run):
        raise KeyboardInterrupt

    finish, papers["toy2001"].train = papers["toy2001"].train, cut
    with pytest.raises(KeyboardInterrupt):
        everything(tmp_path / "out")
    papers["toy2001"].train = finish
    assert papers["toy2002"].TRAINED == []
    assert everything(tmp_path / "out") == 0
    assert [papers[name].TRAINED for name in NAMES] == [[0, 1]] * 3


def test_a_paper_that_breaks_stops_no_other_and_loses_nothing(papers, tmp_path, capsys):
    """A night's results must not be lost to the first paper of the night."""
    papers["toy2000"].BREAKS_AT = 1
    assert everything(tmp_path / "out") == 2
    printed, said = capsys.readouterr()
    assert "Traceback" in said
    last = said.splitlines()[-1]
    assert last.startswith("error: toy2000: RuntimeError: the optimiser is on fire")
    assert f"--out {tmp_path / 'out' / 'toy2000'}" in last
    assert "toy2000: broke off" in printed
    assert "toy2002: 0 reproduced, 0 failed, 1 reported" in printed
    assert [run["seed"] for run in results(tmp_path / "out", "toy2000")["runs"]] == [0]
    assert papers["toy2001"].TRAINED == papers["toy2002"].TRAINED == [0, 1]

    papers["toy2000"].BREAKS_AT = None
    assert everything(tmp_path / "out") == 0
    assert papers["toy2000"].TRAINED == [0, 1]


def test_a_figure_that_cannot_be_drawn_keeps_no_claim_from_being_judged(papers, tmp_path, capsys):
    """The logs of earlier runs may be gone, as in a copy of results.json alone; the hours of training are in it."""
    train_all = papers["toy2000"].run

    def run(session):
        train_all(session)
        session.curve(Run("fig1", "r", "bp", 0, papers["toy2000"].Settings()))

    papers["toy2000"].run = run
    assert main(["toy2000", "--preset", "smoke", "--wandb", "off", "--out", str(tmp_path / "out")]) == 2
    assert "No such file" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [claim["verdict"] for claim in found["claims"]] == ["reported"]


@pytest.mark.parametrize("claims_only", [True, False])
def test_a_full_disk_is_a_message_and_not_a_failed_claim(papers, tmp_path, capsys, monkeypatch, claims_only):
    """It was once a traceback with status 1, which says that a claim failed."""
    replace_file = results_module.os.replace

    def full(source, target):
        if not claims_only or json.loads(Path(source).read_text())["claims"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(results_module.os, "replace", full)
    assert main(["toy2000", "--preset", "smoke", "--wandb", "off", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.count("No space left on device") == 1
    assert "results.json" in said
    assert "The same command with --out" in said


def test_a_paper_whose_training_breaks_is_not_judged(papers, tmp_path):
    """A mean over the seeds that were finished by chance is another number."""
    papers["toy2000"].BREAKS_AT = 1
    assert main(["toy2000", "--preset", "smoke", "--wandb", "off", "--out", str(tmp_path / "out")]) == 2
    assert json.loads((tmp_path / "out" / "results.json").read_text())["claims"] == []


def test_a_paper_that_breaks_alone_is_not_taken_for_a_failed_claim(papers, tmp_path, capsys):
    papers["toy2000"].BREAKS_AT = 0
    assert main(["toy2000", "--preset", "smoke", "--wandb", "off", "--out", str(tmp_path / "out")]) == 2
    assert "error: toy2000: RuntimeError" in capsys.readouterr().err


def test_a_failed_claim_of_one_paper_is_status_1_and_an_error_besides_is_status_2(papers, tmp_path, capsys):
    papers["toy2001"].VALUE = 11.0
    assert everything(tmp_path / "a") == 1
    assert "toy2001: 0 reproduced, 1 failed, 0 reported" in capsys.readouterr().out
    papers["toy2002"].BREAKS_AT = 0
    assert everything(tmp_path / "b") == 2


def test_data_that_cannot_be_had_are_found_before_any_paper_trains(papers, tmp_path, capsys):
    """Found out when its turn comes, they would cost the hours before it."""
    papers["toy2002"].DATASETS = ("cifar10",)
    assert everything(tmp_path / "out") == 2
    assert "Expected cifar10 in" in capsys.readouterr().err
    assert [papers[name].TRAINED for name in NAMES] == [[]] * 3


def test_of_all_papers_digits_stand_in_for_any_data_and_of_a_named_one_only_for_mnist(papers, tmp_path, capsys):
    papers["toy2002"].DATASETS = ("cifar10", "digits")
    assert everything(tmp_path / "out") == 0
    assert "toy2002: 0 reproduced, 0 failed, 1 reported (digits (stand-in), preset smoke)" in capsys.readouterr().out
    assert main(["toy2002", "--preset", "smoke"]) == 2


def test_damaged_data_have_no_stand_in(papers, tmp_path, capsys):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"half")
    assert everything(tmp_path / "out", "--data-dir", str(tmp_path / "data")) == 2
    assert "47040016 bytes but it has 4" in capsys.readouterr().err


def test_data_that_a_paper_reads_beside_the_chosen_ones_are_looked_for_as_well(papers, tmp_path, monkeypatch, capsys):
    """Without MNIST beside CIFAR-10, Cheung and Jiang's first run would find out."""
    monkeypatch.setattr(prepare, "load", lambda name, _: replace(digits.read(), name=name, stand_in_for=missing(name)))

    def missing(name):
        return "mnist" if name == "mnist" else None

    papers["toy2002"].DATASETS, papers["toy2002"].BESIDE = ("cifar10",), {"cifar10": ("mnist",)}
    assert everything(tmp_path / "out") == 2
    assert "Expected mnist beside cifar10" in capsys.readouterr().err
    assert papers["toy2000"].TRAINED == []


def test_cheung_and_jiang_name_the_data_set_of_their_second_network():
    assert registry.load("cheung2019").beside == {"cifar10": ("mnist",)}


def test_the_same_data_are_read_once(papers, tmp_path, monkeypatch):
    """Four copies of MNIST are a gigabyte, and without network four attempts to download it."""
    read = []
    monkeypatch.setattr(prepare, "load", lambda name, _: read.append(name) or digits.read(stand_in_for=name))
    assert everything(tmp_path / "out") == 0
    assert read == ["mnist"]


def test_a_paper_named_beside_all_is_there_twice(papers, capsys):
    assert main(["all", "toy2001", "--preset", "smoke"]) == 2
    assert "toy2001 2 times" in capsys.readouterr().err


def test_every_paper_of_this_project_can_be_prepared_without_data_or_network(tmp_path):
    options = parser().parse_args(["all", "--preset", "smoke", "--wandb", "off", "--out", str(tmp_path)])
    sessions = prepare.prepare_all(options)
    assert [session.paper.name for session in sessions] == registry.names()
    assert [session.out for session in sessions] == [tmp_path / name for name in registry.names()]
    assert {session.data.label for session in sessions} == {"digits (stand-in)"}
