"""Oracle: the claims themselves, on numbers with planted faults. A claim that no fault makes fail says nothing."""

import math

import pytest
import torch
from torch import nn

from replications.experiment import registry
from replications.faults import trained
from replications.faults.command import PAGE, rows_of, uncaught, verdicts
from replications.faults.recorded import caught, exchanged, matches, replaced
from replications.judging.claims import Claim

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
