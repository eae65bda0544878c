"""Oracle: equations 5 to 8 of cheung2019, written out, and faults that its claims must catch."""

import json
import math

import pytest
import torch

import lightning_fa as fa
from replications.cli import main
from replications.data import digits
from replications.experiment.loggers import read_curve
from replications.experiment.run import Run
from replications.judging.claims import judge
from replications.papers.cheung2019 import CLAIMS, EXPERIMENTS, PRESETS
from replications.papers.cheung2019.cosines import cosines, hidden_weights
from replications.papers.cheung2019.data import held_out_stream, standardised, steps_per_epoch, train_stream
from replications.papers.cheung2019.network import Centre, TwoNetworks
from replications.papers.cheung2019.settings import Settings
from replications.papers.cheung2019.summary import steps_to, summary
from replications.papers.cheung2019.training import rule_of

WIDTHS = {"forward": 12, "reverse": 9}


def two_networks(hidden=(8, 8, 8, 8)):
    torch.manual_seed(0)
    return TwoNetworks(WIDTHS, hidden, 5, 0.1)


def a_batch():
    torch.manual_seed(1)
    return {net: (torch.randn(16, width), torch.randint(5, (16,))) for net, width in WIDTHS.items()}


def weights(net):
    return [p.detach() for p in net.parameters()]


def by_hand(W, carriers, x, y):
    """The gradients of one network by eq. 5: delta^l = (B^(l+1)^T delta^(l+1)) * tanh', all centred by P."""
    n = W[0].shape[0]
    P = torch.eye(n) - torch.ones(n, n) / n
    h = [x]
    for layer in W[:-1]:
        h.append(torch.tanh(h[-1] @ layer.T @ P))
    logits = h[-1] @ W[-1].T
    delta = (torch.softmax(logits, 1) - torch.nn.functional.one_hot(y, logits.shape[1])) / len(y)
    gradients = [delta.T @ h[-1]]
    for layer in range(len(W) - 1, 0, -1):
        delta = ((delta @ carriers[layer]) * (1 - h[layer] ** 2)) @ P
        gradients.insert(0, delta.T @ h[layer - 1])
    return gradients


@pytest.mark.parametrize("pairing", ["same", "reversed"])
@pytest.mark.parametrize("coupled", ["none", "backward", "both"])
def test_gradients_are_those_of_equations_5_to_8(coupled, pairing):
    module, batch = two_networks(), a_batch()
    settings = Settings(coupled=coupled, pairing=pairing)
    attached = fa.attach(module, rule_of(Run("fig2", "x", "bidirectional", 0, settings)))
    module.log_dict = lambda *_, **__: None
    module.training_step(batch, 0).backward()
    fixed = attached.feedback
    own = {net: weights(module.get_submodule(f"{net}_net")) for net in WIDTHS}
    for net, other in (("forward", "reverse"), ("reverse", "forward")):
        layers = [f"{net}_net.{index}" for index in (0, 3, 6, 9, 12)]
        carriers = [fixed.get(name) for name in layers]
        is_coupled = coupled == "both" or (coupled == "backward" and net == "forward")
        if is_coupled:
            partners = own[other][1:-1] if pairing == "same" else [w.T for w in own[other][1:-1][::-1]]
            carriers[1:4] = partners
        x, y = batch[net]
        expected = by_hand(own[net], carriers, x, y)
        for p, gradient in zip(module.get_submodule(f"{net}_net").parameters(), expected, strict=True):
            torch.testing.assert_close(p.grad, gradient, rtol=1e-4, atol=1e-6)


def test_centring_is_a_symmetric_projection_so_that_backward_centres_too():
    z = torch.randn(4, 6, requires_grad=True)
    out = Centre()(z)
    assert out.sum(dim=1).abs().max() < 1e-5
    (gradient,) = torch.autograd.grad(out, z, torch.eye(6)[:4])
    torch.testing.assert_close(gradient, torch.eye(6)[:4] - 1 / 6)


def test_three_square_matrices_of_five_layers_are_compared():
    module = two_networks()
    assert [tuple(w.shape) for w in hidden_weights(module.forward_net)] == [(8, 8)] * 3
    for W, B in zip(hidden_weights(module.forward_net), reversed(hidden_weights(module.reverse_net)), strict=True):
        B.copy_(W.T)
    assert cosines(module.forward_net, module.reverse_net, "reversed") == pytest.approx([1, 1, 1], abs=1e-6)
    assert all(abs(value) < 0.7 for value in cosines(module.forward_net, module.reverse_net, "same"))


def test_fixed_matrices_have_the_distribution_of_the_weights():
    module = two_networks((256,) * 4)
    attached = fa.attach(module, rule_of(Run("fig2", "x", "bidirectional", 0, Settings())))
    B, W = attached.feedback["forward_net.3"], hidden_weights(module.forward_net)[0]
    for matrix in (B, W):
        assert 0.99 / 16 < matrix.abs().max() <= 1 / 16


def test_the_two_streams_are_shuffled_apart_and_the_smaller_begins_again():
    data = digits.read()
    both = {"forward": data.part(300, None), "reverse": data.part(500, None)}
    settings = Settings(batch_size=100)
    stream = [batch for batch, _, _ in train_stream(both, settings, 0)]
    assert len(stream) == steps_per_epoch(both, settings) == 5
    assert all(len(batch[net][1]) == 100 for batch in stream for net in both)
    assert sum(len(batch["forward"][1]) for batch, _, _ in held_out_stream(both)) == 297


def test_standardised_inputs_have_mean_0_and_deviation_1_and_constants_become_0():
    data = standardised(digits.read())
    varies = digits.read().train_inputs.std(dim=0) > 0
    assert data.train_inputs.mean(dim=0).abs().max() < 1e-5
    torch.testing.assert_close(data.train_inputs.std(dim=0)[varies], torch.ones(int(varies.sum())))
    assert not data.test_inputs[:, ~varies].any()


def test_the_summary_measures_changes_from_the_start():
    curve = {"test/forward_accuracy": {10: 40.0}, "test/reverse_accuracy": {10: 90.0}}
    curve |= {f"test/{net}_accuracy_at": {5: 30.0, 10: 40.0} for net in WIDTHS}
    for pairing in ("same", "reversed"):
        curve[f"cosine/{pairing}/1"] = {0: 0.5, 5: 0.45, 10: 0.7}
    found = summary(curve, curve)
    assert found["change/same/1"] == pytest.approx(0.2)
    assert found["largest_change/reversed/1"] == pytest.approx(0.2)
    assert found["forward_steps"] == pytest.approx(5 + 5 * 6 / 10)
    assert steps_to({5: 30.0}, 36.0) == math.inf


def metrics(changes=(0.03, 0.02, 0.01), forward=45.0, reverse=95.0, steps=500.0, largest=None):
    found = {"forward_accuracy": forward, "reverse_accuracy": reverse, "forward_steps": steps, "reverse_steps": steps}
    for pairing in ("same", "reversed"):
        for layer, change in enumerate(changes, start=1):
            key = f"{pairing}/{layer}"
            found |= {f"change/{key}": change, f"trend/{key}": 1.0}
            found[f"largest_change/{key}"] = abs(change) if largest is None else largest
    return found


def failed(**changed):
    runs = {"standard": metrics((0.0, 0.0, 0.0), largest=0.001)}
    for pairing in ("same", "reversed"):
        runs |= {f"coupled-backward-{pairing}": metrics(), f"coupled-both-{pairing}": metrics((0.06, 0.04, 0.02))}
    runs |= {name.replace("_", "-"): value for name, value in changed.items()}
    return {claim.id for claim in CLAIMS if judge(claim, [runs], "full", "cifar10")["verdict"] == "failed"}


def test_what_the_paper_says_reproduces_every_claim():
    assert failed() == set()


def test_coupling_that_is_not_on_fails():
    found = failed(coupled_backward_reversed=metrics((0.0, 0.0, 0.0)), coupled_both_reversed=metrics((0.0, 0.0, 0.0)))
    assert {"backward-rises-1-reversed", "both-above-backward-2-reversed", "earlier-larger-both-1-reversed"} <= found


def test_both_modes_that_secretly_are_one_fail():
    assert "both-above-backward-3-same" in failed(coupled_both_same=metrics())


def test_networks_that_disturb_each_other_or_learn_late_fail():
    assert "coupled-both-same-forward" in failed(coupled_both_same=metrics((0.06, 0.04, 0.02), forward=41.0))
    assert "coupled-both-same-reverse-steps" in failed(coupled_both_same=metrics((0.06, 0.04, 0.02), steps=math.inf))


def test_one_layer_that_diverged_fails():
    broken = metrics((0.06, math.nan, 0.02))
    assert {"both-above-backward-2-same", "earlier-larger-both-1-reversed"} <= failed(
        coupled_both_same=broken, coupled_both_reversed=broken
    )


def test_a_control_with_a_cosine_fails():
    assert "uncoupled-1-same" in failed(standard=metrics((0.0, 0.0, 0.0), largest=0.01))


def test_no_claim_is_about_a_network_that_coupling_does_not_touch():
    """Under coupled backward feedback the reverse network is bitwise that of the standard run."""
    assert not any("coupled-backward" in claim.id and "reverse" in claim.id.split("-")[3:] for claim in CLAIMS)
    assert any(claim.id.startswith("coupled-both-same-reverse") for claim in CLAIMS)


def test_every_claim_belongs_to_an_experiment_and_has_a_name_of_its_own():
    assert {claim.experiment for claim in CLAIMS} == set(EXPERIMENTS)
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)


def test_the_full_preset_is_the_papers_network_in_both_pairings():
    full = PRESETS["full"]
    assert (full.hidden, full.pairings, full.max_steps) == ((1024,) * 4, ("reversed", "same"), -1)


def test_smoke_end_to_end_without_cifar(tmp_path):
    out = tmp_path / "out"
    arguments = ["cheung2019", "--preset", "smoke", "--dataset", "digits", "--wandb", "off", "--out", str(out)]
    assert main(arguments) == 0
    results = json.loads((out / "results.json").read_text())
    assert len(results["runs"]) == 5
    assert {claim["verdict"] for claim in results["claims"]} == {"reported"}
    curve = read_curve(out / "logs" / "fig2" / "coupled-both-same-seed0" / "metrics.csv")
    assert set(curve["cosine/same/1"]) == {0, 10, 20, 30, 40}
    assert set(curve["test/forward_accuracy_at"]) == {10, 20, 30, 40}
    for name in ("fig2-same", "fig2-reversed", "fig3-same", "fig3-reversed"):
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_without_any_data_the_command_says_what_it_needs(capsys):
    assert main(["cheung2019", "--preset", "smoke", "--wandb", "off"]) == 2
    assert "cifar10" in capsys.readouterr().err
