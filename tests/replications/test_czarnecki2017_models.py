"""Oracle: appendix C of the paper for data and networks, brute force for optima, autograd for the implied loss."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import lightning_fa as fa
from lightning_fa.rules import SyntheticGradient
from replications.experiment.run import Run
from replications.papers.czarnecki2017 import EXPERIMENTS, PRESETS, fig2, mnist, objectives, table2
from replications.papers.czarnecki2017.artificial import gaussian, grid, label
from replications.papers.czarnecki2017.network import DeepClassifier
from replications.papers.czarnecki2017.plan import plan
from replications.papers.czarnecki2017.settings import Mnist


def test_noisy_labels_are_the_linear_ones_with_a_tenth_swapped():
    x = gaussian(100, 1000, seed=3)
    linear, noisy, random = (label(x, name, seed=3) for name in ("linear", "noisy", "random"))
    assert (linear != noisy).sum() == 100
    assert 400 < (linear != random).sum() < 600
    assert objectives.optimum(x, linear, "log") == 0.0
    assert objectives.optimum(x, noisy, "log") > 0.1


def test_the_plane_through_linear_labels_contains_the_origin():
    x = gaussian(2, 500, seed=1)
    assert torch.equal(label(torch.cat([x, -x]), "linear", 1)[500:], 1 - label(x, "linear", 1))


@pytest.mark.parametrize("loss", ["mse", "log"])
def test_no_linear_model_is_below_the_optimum(loss):
    x, y = gaussian(2, 60, seed=5).double(), label(gaussian(2, 60, seed=5), "noisy", 5)
    best = objectives.optimum(x, y, loss)
    net = nn.Linear(2, 2).double()
    solver = torch.optim.LBFGS(net.parameters(), max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        value = objectives.LOSSES[loss](net(x), y).mean()
        value.backward()
        return value

    solver.step(closure)
    assert objectives.LOSSES[loss](net(x), y).mean().item() == pytest.approx(best, abs=1e-8)


def test_the_sg_of_the_shallow_model_is_between_its_output_and_the_loss():
    """The model's weights must move by SG alone: with SG at zero they do not move, though the loss falls from them."""
    x, y = gaussian(2, 50, 0), label(gaussian(2, 50, 0), "random", 0)
    net = table2.shallow(2)
    before = net[0].weight.detach().clone()
    sent = []
    table2.descend(
        net, SyntheticGradient(at="0"), x, y, "mse", rate=0.1, steps=1, send=lambda *a: sent.append(a), name="l"
    )
    assert torch.equal(net[0].weight, before)
    with torch.no_grad():
        assert torch.equal(net(x), net[0](x))
    assert list(sent[0][1]) == ["l"]


def test_the_deep_linear_model_begins_as_a_linear_one():
    net, x = table2.deep(4, 10), torch.randn(5, 4)
    assert len(net) == 11
    assert torch.equal(net(x), net[-1](x))


def test_the_gradient_of_the_implied_loss_is_sg_where_that_is_the_gradient_of_anything():
    torch.manual_seed(0)
    A = torch.randn(6, 6).double()
    theta = {"A": A + A.T, "B": torch.randn(2, 6).double(), "C": torch.randn(6).double()}
    h, y = torch.randn(4, 6).double(), torch.tensor([0, 1, 1, 0])
    sg = h @ theta["A"] + nn.functional.one_hot(y).double() @ theta["B"] + theta["C"]
    shift = 1e-5 * torch.randn_like(h)
    change = fig2.implied(h + shift, y, theta) - fig2.implied(h - shift, y, theta)
    torch.testing.assert_close(change / 2, (sg * shift).sum(dim=1), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("inputs", "letters"), [("activations", "AC"), ("labels", "BC")])
def test_an_sg_that_sees_less_implies_a_loss_all_the_same(inputs, letters):
    theta = SyntheticGradient(inputs=inputs).initial("block", 6, 2)
    assert "".join(sorted(theta)) == letters
    theta = {letter: torch.randn_like(tensor) for letter, tensor in theta.items()}
    assert fig2.implied(torch.randn(5, 6), torch.tensor([0, 1, 0, 1, 1]), theta).std() > 0


def test_within_labels_a_constant_of_each_label_does_not_count():
    y = torch.tensor([0, 0, 0, 1, 1, 1])
    true = torch.tensor([1.0, 2, 3, 1, 2, 3])
    shifted = true + 100 * y
    assert fig2.within_labels(shifted, true, y) == pytest.approx(1)
    assert objectives.correlation(shifted, true) < 0.1
    assert objectives.correlation(torch.ones(6), true) == 0


def test_the_summary_of_a_panel_compares_the_right_moments_and_layers():
    """Early is while the loss is above 1e-3, and not while the module still leaves zero."""
    name = "sg/hidden{}/loss_correlation"
    curve = {
        step: {name.format(1): low, name.format(2): high, "loss": loss}
        | {f"{name.format(i)}_within_labels": 0.5 for i in (1, 2)}
        for step, low, high, loss in (
            (10, 0.0, 0.0, 0.7),
            (100, 0.8, 1.0, 0.1),
            (300, 0.4, 0.8, 2e-3),
            (1000, 0.0, 0.4, 1e-3),
        )
    }
    found = fig2.summary(curve, depth=2)
    assert found["early"] == pytest.approx(0.75)
    assert found["early_top_minus_bottom"] == pytest.approx(0.3)
    assert found["early_within_labels"] == 0.5
    assert found["late"] == pytest.approx(0.2)
    assert found["early/1"] == pytest.approx(0.6)
    assert found["loss"] == 1e-3
    never = fig2.summary({step: logs | {"loss": math.inf} for step, logs in curve.items()}, depth=2)
    assert math.isnan(never["late"])


def test_maps_are_taken_at_times_that_are_even_in_the_logarithm():
    """At 20 even times the first is after the phase that figure 2 is about."""
    times = fig2.times(10_000, 25)
    assert (times[0], times[-1], len(times)) == (10, 10_000, 25)
    assert sum(time <= 1000 for time in times) > 15
    assert fig2.times(8, 4) == [8]


def test_the_grid_runs_from_the_bottom_left_along_the_first_axis():
    assert grid(3, 1.0)[:4].tolist() == [[-1, -1], [0, -1], [1, -1], [-1, 0]]


def test_batch_norm_follows_the_activation():
    net = DeepClassifier(12, 8, 2, 3, "sigmoid", 1e-3, 1e-5)
    kinds = [type(layer).__name__ for layer in net.layers]
    assert kinds == ["Linear", "Sigmoid", "BatchNorm1d"] * 2 + ["Linear"]


def test_the_penalty_is_on_weight_matrices_and_never_on_the_sg_modules():
    net = DeepClassifier(12, 8, 2, 3, "relu", 1e-3, 1e-5)
    fa.attach(net, SyntheticGradient())
    penalised, free = net.configure_optimizers().param_groups
    assert (penalised["weight_decay"], free["weight_decay"]) == (1e-5, 0)
    assert [p.shape for p in penalised["params"]] == [(8, 12), (8, 8), (3, 8)]
    names = {id(p): name for name, p in net.named_parameters()}
    assert sum("feedback" in names[id(p)] for p in free["params"]) == 6


@pytest.mark.parametrize("rule", ["bp", "dfa", "sg-mid", "sg-all", "sg-loss-alone", "lower-half-fixed"])
def test_what_reaches_the_lower_half_is_what_the_name_of_the_rule_says(rule):
    torch.manual_seed(0)
    net = DeepClassifier(12, 8, 4, 3, "relu", 1e-3, 1e-5)
    attached = fa.attach(net, mnist.rule_of(Run("mnist", "x", rule, 0, Mnist(depth=4))), example=torch.randn(4, 12))
    for held in attached.feedback.values():
        held.data = torch.randn_like(held)
    x, y = torch.randn(16, 12), torch.randint(3, (16,))
    attached.targets = y
    attached.loss(nn.functional.cross_entropy(net(x), y)).backward()
    lower = net.layers.hidden2.weight.grad
    true = torch.autograd.grad(nn.functional.cross_entropy(_plain(net)(x), y), _lower(net))[0]
    same = lower is not None and torch.allclose(lower, true, atol=1e-6)
    assert same == (rule == "bp")
    assert (lower is None or not lower.any()) == (rule == "lower-half-fixed")
    holders = {name.rsplit(".", 1)[0] for name in attached.feedback if "hidden" in name and rule.startswith("sg")}
    expected = {"sg-mid": {"layers.hidden2"}, "sg-loss-alone": {"layers.hidden2"}}
    if rule == "sg-all":
        assert holders == {f"layers.hidden{i}" for i in range(1, 5)}
    assert holders == expected.get(rule, holders)


def _plain(net):
    """The same weights, governed by nothing."""
    twin = DeepClassifier(12, 8, 4, 3, "relu", 1e-3, 1e-5)
    for ours, theirs in zip(_linear(net), _linear(twin), strict=True):
        theirs.weight, theirs.bias = ours.weight, ours.bias
    return twin


def _linear(net):
    return [layer for layer in net.layers if isinstance(layer, nn.Linear)]


def _lower(net):
    return [net.layers.hidden2.weight]


class Asked:
    """As much of a session as `plan` looks at."""

    def __init__(self, preset, seeds, *experiments):
        self.settings, self.seeds, self.experiments = PRESETS[preset], range(seeds), experiments


def test_networks_that_several_figures_look_at_are_trained_once():
    names = [run.name for run in plan(Asked("quick", 1, "fig3", "fig4", "fig5", "fig7", "fig8", "footnote5"))]
    assert len(names) == len(set(names)) == 14
    alone = {run.name for run in plan(Asked("quick", 1, "fig5"))}
    assert alone == {"bp-relu-10", "sg-mid-relu-10", "sg-all-relu-10"}


def test_the_full_plan_has_every_panel_and_the_depths_of_figure_4():
    runs = plan(Asked("full", 2, *EXPERIMENTS))
    assert len({(run.name, run.seed) for run in runs}) == len(runs)
    names = {run.name for run in runs}
    assert {
        f"{rule}-{act}-{d}" for rule in ("bp", "sg-mid") for act in ("relu", "sigmoid") for d in (3, 5, 10, 20, 50)
    } < names
    assert sum(run.experiment == "fig2" for run in runs) == 2 * 4
    assert sum(run.experiment == "fig9" for run in runs) == 2 * 8
    assert sum(run.experiment == "fig6" for run in runs) == 1  # nothing in it is random


def test_the_steps_to_a_loss_are_those_of_its_running_mean():
    curve = {"train/running_loss": {50: 0.5, 100: 0.019, 150: 0.03}, "epoch": {50: 0.0}}
    assert mnist.summary(curve)["steps_to_0.02"] == 100
    never = mnist.summary({"train/running_loss": {50: 0.5}})["steps_to_0.02"]
    assert never != never


def test_a_lower_half_that_receives_nothing_is_not_shrunk_by_the_penalty_either():
    """Adam makes a full step of any gradient that is alone, however small the penalty."""
    runs = {run.rule: run.settings.penalty for run in plan(Asked("quick", 1, "footnote5"))}
    assert runs == {"sg-loss-alone": 1e-5, "lower-half-fixed": 0.0}


def test_an_sg_after_every_layer_has_the_papers_rate_at_the_papers_depth():
    """At ten times that rate its 20 modules stay behind what they follow."""
    rates = {run.rule: run.settings.learning_rate for run in plan(Asked("reduced", 1, "fig3"))}
    assert rates == {"bp": 3e-4, "sg-mid": 3e-4, "sg-all": 3e-5, "bp-as-sg-all": 3e-5}


def test_the_untrained_control_of_the_probes_changes_no_weight():
    (run,) = [run for run in plan(Asked("reduced", 1, "fig8")) if run.rule == "untrained"]
    assert (run.settings.learning_rate, run.settings.max_steps) == (0.0, 100)


def test_the_probes_of_figure_8_are_fitted_to_all_samples_from_reduced_on():
    """A probe that is trained to convergence separates 10 000 samples even from an untrained layer."""
    for preset in ("reduced", "full"):
        probed = {run.rule: run.settings.probe_samples for run in plan(Asked(preset, 1, "fig8"))}
        assert probed == dict.fromkeys(("bp", "sg-mid", "sg-all", "dfa", "untrained"))
    of_figure_3 = {run.rule: run.settings.probe_samples for run in plan(Asked("reduced", 1, "fig3", "fig4", "fig8"))}
    assert of_figure_3["bp-as-sg-all"] == PRESETS["reduced"].mnist.probe_samples


def test_the_deep_excess_is_a_mean_over_starts_rates_and_late_steps():
    """One final value of one run is a snapshot of a transient: it was 0.0004 here where the paper prints 0.0029."""
    x, y = gaussian(3, 20, 0), label(gaussian(3, 20, 0), "noisy", 0)
    settings = replace(PRESETS["smoke"].table2, dimensions=3, samples=20, deep_layers=2, deep_steps=10)
    logs = {}
    found = table2.sweep(settings, x, y, 0.5, 0, lambda step, numbers: logs.update({(step, *numbers): numbers}))
    assert len(found) == 10
    single = [value for name, value in found.items() if "swept" not in name]
    assert found["deep-log-swept/sg"] == pytest.approx(sum(single) / 9)
    steps = [next(iter(n.values())) for key, n in logs.items() if key[1] == "loss/deep-log-xavier-0.003/sg"]
    assert found["deep-log-xavier-0.003/sg"] == pytest.approx(sum(steps[-2:]) / 2 - 0.5)
