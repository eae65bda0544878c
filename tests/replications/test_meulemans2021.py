"""Oracle: table 1 of Meulemans et al. 2021, faults that its claims must catch, and the update of the authors' code."""

import json

import torch
from torch import nn

import lightning_fa as fa
from replications.cli import main
from replications.data import digits
from replications.experiment.run import Run
from replications.judging.claims import judge
from replications.papers.meulemans2021 import CLAIMS, PRESETS, SEEDS
from replications.papers.meulemans2021.network import Network, loss_in_hundredths
from replications.papers.meulemans2021.settings import DFA_UNITS, RUNS
from replications.papers.meulemans2021.training import best, prepared, rule_of

TABLE = {"mnist-bp": (2.08, 0.15), "mnist-dfa": (2.69, 0.11), "mnist-shallow": (8, 0.2)}
TABLE |= {"autoencoder-bp": (9.42, 0.09), "autoencoder-dfa": (29.95, 0.36), "autoencoder-shallow": (50, 0.5)}


def failed(**as_other):
    """On five seeds with the table's means and standard deviations; `as_other`: which run has another's numbers."""
    seeds = []
    for z in (-1.2649, -0.6325, 0.0, 0.6325, 1.2649):
        numbers = {name: {"test": mean + z * std} for name, (mean, std) in TABLE.items()}
        seeds.append(numbers | {name.replace("_", "-"): numbers[other] for name, other in as_other.items()})
    return {claim.id for claim in CLAIMS if judge(claim, seeds, "full", "mnist")["verdict"] != "reproduced"}


def test_the_papers_own_numbers_reproduce_every_claim_and_those_of_another_rule_do_not():
    """An interval that holds BP and DFA alike would say nothing about either."""
    assert failed() == set()
    assert {"mnist-dfa", "mnist-dfa-behind"} <= failed(mnist_dfa="mnist-bp")
    assert {"mnist-dfa", "mnist-dfa-behind", "mnist-shallow-behind"} <= failed(mnist_dfa="mnist-shallow")
    assert "mnist-bp" in failed(mnist_bp="mnist-dfa")
    assert {"autoencoder-dfa", "autoencoder-dfa-behind"} <= failed(autoencoder_dfa="autoencoder-bp")


def test_the_full_preset_is_table_1():
    assert (PRESETS["full"].runs, SEEDS["full"]) == (RUNS, 5)
    assert {(t.hidden, t.epochs, t.held_out) for n, t in RUNS.items() if "mnist" in n} == {((256,) * 3, 100, 5000)}
    assert {(t.hidden, t.epochs, t.linear) for n, t in RUNS.items() if "auto" in n} == {((256, 32, 256), 25, (1,))}


def test_epsilon_in_our_unit_makes_the_step_of_the_authors_code():
    """Their DFA has a gradient 64 000 times smaller: with their epsilon on ours Adam would be another optimiser."""
    steps = []
    for unit in (1.0, DFA_UNITS):
        weight = nn.Parameter(torch.zeros(3))
        weight.grad = torch.tensor([1e-3, -2e-4, 5e-2]) * unit / DFA_UNITS
        torch.optim.Adam([weight], lr=1.0, betas=(0.99, 0.99), eps=2.5e-8 * unit).step()
        steps.append(weight.detach())
    torch.testing.assert_close(*steps)
    assert steps[0].abs().min() < 0.5  # an epsilon that matters


def test_the_first_epoch_that_is_best_on_held_out_samples_decides_whatever_the_test_samples_say():
    held_out = {5: 3.0, 10: 1.0, 15: 1.0, 20: float("nan")}
    found = best({"held_out/loss": held_out, "test/loss": {5: 0.1, 10: 2.0, 15: 1.5, 20: 0.0}})
    assert found == {"test": 2.0, "held_out": 1.0, "epoch": 2}


def test_held_out_samples_are_neither_trained_on_nor_test_samples():
    """An epoch chosen on samples that were trained on is the last one; on test samples it is too good."""
    data, held_out = prepared(digits.read(), Run("mnist", "mnist-bp", "bp", 0, RUNS["mnist-bp"]))
    parts = (data.train_inputs, held_out.test_inputs, data.test_inputs)
    assert [len(part) for part in parts] == [1200, 300, 297]
    assert len({tuple(x.flatten().tolist()) for x in torch.cat(parts)}) == 1797


def test_dfa_hands_every_hidden_layer_of_the_autoencoder_b_times_the_error():
    """The 32 units of the code are linear: their signal has no derivative of tanh."""
    torch.manual_seed(0)
    x, run = torch.randn(6, 20), Run("autoencoder", "autoencoder-dfa", "dfa", 3, RUNS["autoencoder-dfa"])
    model = Network(20, 20, run.settings)
    B = list(fa.attach(model, rule_of(run)).feedback.values())
    model.training_step((x, x), 0).backward()
    W = [p for p in model.parameters() if p.dim() == 2]
    h = [torch.tanh(x @ W[0].T)]
    h += [h[0] @ W[1].T, torch.tanh(h[0] @ W[1].T @ W[2].T)]
    e = 2 * (h[2] @ W[3].T - x) / x.numel()
    signals = [e @ B[0].T * (1 - h[0] ** 2), e @ B[1].T, e @ B[2].T * (1 - h[2] ** 2), e]
    for weight, signal, below in zip(W, signals, [x, *h], strict=True):
        torch.testing.assert_close(weight.grad, signal.T @ below)


def test_table_1_prints_percent_and_hundredths():
    assert loss_in_hundredths(torch.tensor([[2.0, 1.0], [2.0, 1.0]]), torch.tensor([0, 1])) == 50
    assert loss_in_hundredths(torch.zeros(2, 2), torch.full((2, 2), 0.5)) == 25


def test_smoke_end_to_end(tmp_path):
    """Each rule was on: the three runs of a task start alike and end apart."""
    out = tmp_path / "out"
    assert main(["meulemans2021", "--preset", "smoke", "--dataset", "digits", "--wandb", "off", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert len({run["metrics"]["test"] for run in results["runs"]}) == len(RUNS) == 6
    assert {claim["verdict"] for claim in results["claims"]} == {"reported"}
    assert all((out / "figures" / f"{name}.png").is_file() for name in ("mnist", "autoencoder"))
