"""Oracle: the claims themselves, on numbers with planted faults. A claim that no fault makes fail says nothing."""

import math
import re

import pytest
import torch
from torch import nn

from replications.errors import ReplicationError
from replications.experiment import registry
from replications.faults import command, trained
from replications.faults.command import PAGE, rows_of, uncaught, verdicts
from replications.faults.planted import planted_in
from replications.faults.recorded import caught, exchanged, matches, replaced
from replications.judging.claims import Claim, NotRunError, Recorded
from replications.judging.verdicts import by_seed
from replications.reporting.committed import committed

RUNS = {"dfa": {"a": 1.0}, "dfa-b1": {"a": 2.0}, "lafs": {"a": 3.0}, "lafs-b1": {"a": 4.0}, "bp": {"a": 0.0, "b": 9.0}}


def rows(paper):
    return rows_of(PAGE.read_text(encoding="utf-8"), paper)


@pytest.mark.parametrize("paper", registry.names())
def test_every_judged_claim_has_a_fault_that_it_catches(paper):
    """About 20 claims were once reproduced by an untrained network, by backpropagation, or by mathematics."""
    judged = [claim.id for claim in registry.load(paper).claims if claim.tolerance]
    found = rows(paper)
    assert list(found) == judged
    assert [name for name, row in found.items() if uncaught(row)] == []


@pytest.mark.parametrize("paper", registry.names())
def test_the_page_agrees_with_the_recorded_numbers(paper):
    """Run `python -m replications audit --out docs/planted_faults.md` after claims or results change."""
    found = rows(paper)
    for name, row in verdicts(paper, None, train=False).items():
        assert {fault: row[fault] for fault in ("backprop", "exchanged")} == {
            fault: found[name][fault] for fault in ("backprop", "exchanged")
        }, name


def test_a_pattern_names_the_partner_of_each_run():
    pairs = [("dfa*", "lafs*")]
    assert {left[0]: right[0] for left, right in matches(RUNS, pairs)} == {"dfa": "lafs", "dfa-b1": "lafs-b1"}
    assert replaced(RUNS, [("dfa*", "bp")])["dfa-b1"] == RUNS["bp"]
    swapped = exchanged(RUNS, pairs)
    assert (swapped["dfa"], swapped["lafs"], swapped["bp"]) == (RUNS["lafs"], RUNS["dfa"], RUNS["bp"])
    assert exchanged(RUNS, [("bp:a", "bp:b")])["bp"] == {"a": 9.0, "b": 0.0}
    assert RUNS["dfa"] == {"a": 1.0}  # the recorded numbers stay


def test_a_fault_is_caught_if_it_changes_the_verdict_and_not_if_it_changes_nothing():
    claim = Claim("id", "s", lambda runs: runs["dfa"]["a"], experiment="e", tolerance=(0.5, 1.5))
    honest = [RUNS, RUNS]
    assert caught(claim, honest, [replaced(runs, [("dfa", "bp")]) for runs in honest]) is True
    assert caught(claim, honest, [replaced(runs, [("lafs", "bp")]) for runs in honest]) is None
    wide = Claim("id", "s", lambda runs: runs["dfa"]["a"], experiment="e", tolerance=(-9, 9))
    assert caught(wide, honest, [replaced(runs, [("dfa", "bp")]) for runs in honest]) is False
    assert uncaught({"backprop": "survives", "exchanged": "-"})
    assert not uncaught({"backprop": "survives", "exchanged": "caught"})


def test_nothing_is_trained_under_that_fault_and_b_is_new_under_the_other():
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0, weight_decay=0.1)
    weight.grad = torch.ones(2)
    trained.NothingTrained().on_before_optimizer_step(None, None, optimizer)
    optimizer.step()
    assert weight.tolist() == [1.0, 1.0]
    B = torch.arange(200.0).view(20, 10)
    strategy = type("Strategy", (), {"attached": type("Attached", (), {"feedback": {"x": B}})()})()
    before = B.clone()
    trained.FreshFeedback().on_train_batch_start(type("Trainer", (), {"strategy": strategy})(), None, None, 0)
    assert not torch.equal(B, before)
    assert torch.equal(B.flatten().sort().values, before.flatten())
    assert math.isclose(B.sum().item(), before.sum().item())


def test_to_train_the_faults_of_one_paper_leaves_the_page_of_the_others_alone(tmp_path, monkeypatch):
    """A page of one paper only, in place of all: the faults of five papers would be trained again for hours."""
    trained_now = []

    def verdicts_of(paper, folder, *, train):
        trained_now.extend([paper] if train else [])
        untrained = "caught" if train else "-"
        return {"c": {"backprop": "caught", "exchanged": "-", "untrained": untrained, "idle": "-", "redrawn": "-"}}

    page = tmp_path / "page.md"
    monkeypatch.setattr(command, "verdicts", verdicts_of)
    monkeypatch.setattr(command.registry, "names", lambda: ["a1999", "b2000"])
    assert command.audit(["--train", "--out", str(page)]) == 0
    whole = page.read_text(encoding="utf-8")
    assert command.audit(["b2000", "--train", "--out", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == whole
    assert trained_now == ["a1999", "b2000", "b2000"]


def test_an_audit_without_training_takes_the_trained_faults_from_the_page(tmp_path, monkeypatch):
    """It once ended with status 1 on the committed results, because their trained faults counted as not planted."""
    cells = {"backprop": "survives", "exchanged": "-"}
    page = tmp_path / "page.md"
    monkeypatch.setattr(command.registry, "names", lambda: ["a1999"])
    monkeypatch.setattr(command, "PAGE", page)
    untrained = {"untrained": "-", "idle": "-", "redrawn": "-"}
    monkeypatch.setattr(command, "verdicts", lambda paper, folder, *, train: {"c": {**cells, **untrained}})
    assert command.audit([]) == 1
    page.write_text(command._section("a1999", {"c": {**cells, **untrained, "idle": "caught"}}), encoding="utf-8")
    assert command.audit([]) == 0
    assert command.audit(["a1999"]) == 0
    assert command.audit(["--train"]) == 1


@pytest.mark.parametrize("paper", registry.names())
def test_a_paper_says_which_faults_are_planted_in_it_by_names_that_it_has(paper):
    """A pattern that names no run plants nothing, and the claim that it should kill survives unseen."""
    faults = planted_in(paper)
    for experiments in filter(None, (faults.experiments, faults.redrawn_experiments)):
        registry.select(f"{paper}/{experiments}")
    smoke = registry.load(paper).presets["smoke"]
    assert {*faults.untrained, *faults.redrawn} <= set(vars(smoke))
    recorded = [result for result in committed() if result["paper"] == paper]
    numbers = {name: of for result in recorded for name, of in by_seed(result["runs"], [0])[0].items()}
    planted = (faults.backprop, *faults.exchanged)
    pairs = {tuple(pair) for fault in planted if not matches(numbers, fault) for pair in fault}
    waited_for = {missing_run(claim, numbers) for claim in registry.load(paper).claims} - {None}
    patterns = {pair: "|".join(pair).replace("*", ".*") for pair in pairs}
    assert [p for p, either in patterns.items() if not any(re.fullmatch(either, run) for run in waited_for)] == []


def missing_run(claim, runs):
    """The name of the run, or of the number, that a claim waits for."""
    try:
        claim.measure(Recorded({name: Recorded(metrics) for name, metrics in runs.items()}))
    except NotRunError as error:
        return error.args[0]


def test_a_paper_without_faults_is_told_what_to_write():
    with pytest.raises(ReplicationError, match="claims of nobody1999 must catch"):
        planted_in("nobody1999")
