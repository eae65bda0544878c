"""launay2019: its networks and masks against formulas, which runs there are, and how settings are chosen."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, softmax

import lightning_fa as fa
from replications.data import Dataset
from replications.judging.claims import NotRunError
from replications.papers.launay2019 import CLAIMS, EXPERIMENTS, figures
from replications.papers.launay2019.claims import _drop, rises
from replications.papers.launay2019.configurations import CHANGES, baseline, configuration
from replications.papers.launay2019.data import MEAN, STD, prepared
from replications.papers.launay2019.masked import MaskedLinear
from replications.papers.launay2019.network import Classifier
from replications.papers.launay2019.plan import Configured, Tuned, configurations, fixed, tuned
from replications.papers.launay2019.settings import PAPER, PRESETS, Training
from replications.papers.launay2019.summary import summary
from replications.papers.launay2019.training import rule_of

SMALL = Training(hidden=(20, 20, 20))


def images(n=6, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 32, 32, generator=random), torch.randint(10, (n,), generator=random)


def run(settings, rule="dfa", name="fc-tanh", experiment="best-practices"):
    return Configured(experiment, name, rule, 0, settings)


class Asked:
    """The part of a session that says which runs there are."""

    def __init__(self, *experiments, preset="full", seeds=1):
        self.experiments, self.settings, self.seeds = experiments, PRESETS[preset], range(seeds)


def test_the_fourteen_configurations_of_the_code():
    assert len(CHANGES) == 14
    assert sum(name.startswith("conv") for name in CHANGES) == 5
    assert configuration("fc-lrelu.01", PAPER).activation == "leaky-0.01"
    assert configuration("conv-nonorm", PAPER).normalised is False
    assert baseline("conv-nonorm") == "conv-tanh"
    assert baseline("fc-bn") == "fc-bn"


def test_sizes_of_the_networks():
    x, _ = images(2)
    fc, conv, vgg = (Classifier(replace(Training(), net=net)) for net in ("fc", "conv", "vgg"))
    assert [layer.weight.shape for layer in fc.modules() if isinstance(layer, nn.Linear)] == [
        (800, 3072),
        (800, 800),
        (800, 800),
        (10, 800),
    ]
    assert conv.blocks[:3](x).flatten(1).shape == (2, 576)
    assert sum(isinstance(layer, nn.Conv2d) for layer in vgg.modules()) == 8
    assert vgg.blocks[:8](x).shape == (2, 512, 1, 1)
    for net in (fc, conv, vgg):
        assert net(x).shape == (2, 10)


def test_dropout_stands_before_and_batch_norm_behind_the_activation():
    net = Classifier(replace(SMALL, batch_norm=True, dropout=0.5, input_dropout=0.1))
    kinds = [type(layer).__name__ for layer in net.blocks[0]]
    assert kinds == ["Flatten", "Dropout", "Linear", "Dropout", "Tanh", "BatchNorm1d"]
    assert [layer.p for layer in net.blocks[0] if isinstance(layer, nn.Dropout)] == [0.1, 0.5]
    assert [type(layer).__name__ for layer in net.blocks[-1]] == ["Linear"]
    conv = Classifier(replace(SMALL, net="conv", batch_norm=True, dropout=0.5, input_dropout=0.1))
    assert [type(layer).__name__ for layer in conv.blocks[0]] == [
        "Dropout",
        "Conv2d",
        "Tanh",
        "BatchNorm2d",
        "MaxPool2d",
    ]
    assert not any(isinstance(layer, nn.Dropout) for layer in conv.blocks[1])


@pytest.mark.parametrize("normalised", [True, False])
def test_gradients_of_the_tanh_network_are_those_of_the_formula(normalised):
    """delta^l = sum over samples of (B^l (softmax - onehot)) f'(a^l): not averaged, but for the head."""
    settings = replace(SMALL, hidden=(30, 20, 10), normalised=normalised)
    torch.manual_seed(0)
    net = Classifier(settings).double()
    x, y = images(7)
    x = x.double()
    attached = fa.attach(net, rule_of(run(settings)), blocks=["blocks.*"], example=x)
    attached.targets = y
    attached.loss(cross_entropy(net(x), y)).backward()
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        h = [x.flatten(1)]
        for layer in linear[:-1]:
            h.append(torch.tanh(h[-1] @ layer.weight.T + layer.bias))
        e = softmax(h[-1] @ linear[-1].weight.T + linear[-1].bias, 1) - nn.functional.one_hot(y, 10)
        torch.testing.assert_close(linear[-1].weight.grad, e.T @ h[-1] / len(y))
        for i, (layer, B) in enumerate(zip(linear, attached.feedback.values(), strict=False)):
            delta = e @ B.double().T * (1 - h[i + 1] ** 2)
            torch.testing.assert_close(layer.weight.grad, delta.T @ h[i], rtol=1e-5, atol=1e-7)


def test_feedback_is_one_matrix_of_unit_norm_or_of_unit_entries():
    wide = Training()
    for settings, expected in ((wide, 1.0), (replace(wide, normalised=False), 8000**0.5)):
        attached = fa.attach(Classifier(settings), rule_of(run(settings)), blocks=["blocks.*"], example=images(2)[0])
        first, second, third = attached.feedback.values()
        assert torch.equal(first, second)
        assert torch.equal(second, third)
        # the norm of 8000 normal numbers has a standard deviation of 0.8 %
        assert first.norm().item() == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("kept", [0.1, 1 / 20, 1.0])
def test_a_masked_layer_learns_in_part(kept):
    torch.manual_seed(0)
    layer, x = MaskedLinear(20, kept, rows=8), torch.randn(8, 20, requires_grad=True)
    plain = nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.equal(layer(x), plain)
    (layer(x) ** 2).sum().backward()
    whole = [*torch.autograd.grad((plain**2).sum(), [x, layer.weight], retain_graph=True), 2 * plain.detach()]
    masks = [layer.input_mask, layer.weight_mask, layer.bias_mask]
    entries = [g * mask for g, mask in zip(whole, masks, strict=True)]
    for found, true in zip(
        [x.grad, layer.weight.grad, layer.bias.grad], [*entries[:2], entries[2].sum(0)], strict=True
    ):
        torch.testing.assert_close(found, true)
    assert all(mask.mean().item() == pytest.approx(kept, abs=1 / mask.numel()) for mask in masks)
    assert [tuple(mask.shape) for mask in masks] == [(8, 20), (20, 20), (8, 20)]
    with torch.no_grad():
        assert torch.equal(layer(x.repeat(9, 1)), plain.repeat(9, 1))


def test_without_rows_the_error_passes_a_masked_layer_whole():
    torch.manual_seed(0)
    layer, x = MaskedLinear(20, 0.1), torch.randn(5, 20, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.detach().sum(0).expand(5, -1))
    assert layer.bias.grad.count_nonzero() == 2


def test_the_authors_code_puts_no_feedback_before_the_masked_layer():
    blocks = {
        variant: len(Classifier(replace(SMALL, variant=variant, bottleneck=2)).blocks)
        for variant in ("narrow", "mask", "repo")
    }
    assert blocks == {"narrow": 4, "mask": 4, "repo": 3}
    settings = replace(SMALL, variant="repo", bottleneck=2)
    net, (x, y) = Classifier(settings), images()
    attached = fa.attach(net, rule_of(run(settings)), blocks=["blocks.*"], example=x)
    assert list(attached.feedback) == ["blocks.0", "blocks.1"]
    attached.loss(cross_entropy(net(x), y)).backward()
    masked = next(layer for layer in net.modules() if isinstance(layer, MaskedLinear))
    assert (masked.weight.grad != 0).float().mean().item() == pytest.approx(2 / 20, abs=0.01)
    # a tenth of the entries of the error reach the first layer, through the second, so that every unit hears of few samples
    heard = masked.input_mask[: len(x)].sum(0).bool()
    assert (net.blocks[0][1].weight.grad.abs().sum(1) > 0).equal(heard)
    assert 2 < heard.sum() < 20


def test_narrow_is_literally_narrow():
    widths = [
        layer.out_features
        for layer in Classifier(replace(SMALL, variant="narrow", bottleneck=3)).modules()
        if isinstance(layer, nn.Linear)
    ]
    assert widths == [20, 3, 20, 10]


def test_frozen_convolutions_do_not_learn_and_the_rest_does():
    settings = replace(SMALL, net="conv")
    net, (x, y) = Classifier(settings), images()
    net.freeze_convolutions()
    attached = fa.attach(net, rule_of(run(settings, rule="frozen")), blocks=["blocks.*"], example=x)
    attached.loss(cross_entropy(net(x), y)).backward()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.grad is None
            assert not layer.weight.requires_grad
        if isinstance(layer, nn.Linear):
            assert layer.weight.grad.abs().sum() > 0


def data(n=40, shape=(3, 32, 32)):
    random = torch.Generator().manual_seed(0)
    inputs, labels = torch.rand(n, *shape, generator=random), torch.arange(n) % 10
    return Dataset("cifar10", inputs, labels, inputs[:10] + 1, labels[:10])


def test_data_are_normalised_by_the_constants_of_the_code():
    found = prepared(data(), Training())
    expected = (data().train_inputs - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(found.train_inputs, expected)
    assert len(found.test_labels) == 10


def test_held_out_samples_are_not_trained_on_and_no_test_samples():
    found = prepared(data(), replace(Training(), held_out=8))
    assert (len(found.train_labels), len(found.test_labels)) == (32, 8)
    trained = {tuple(row.flatten()[:5].tolist()) for row in found.train_inputs}
    assert not trained & {tuple(row.flatten()[:5].tolist()) for row in found.test_inputs}
    assert found.test_inputs.max() < 3  # the test samples of this data set are larger by 1 / 0.2


def test_images_are_normalised_once_for_all_runs():
    """A run of three seconds spent one of them on it."""
    images = data()
    first, second = (prepared(images, Training()).train_inputs for _ in range(2))
    assert first.data_ptr() == second.data_ptr()
    assert not torch.equal(prepared(data(shape=(3, 32, 32), n=30), Training()).train_inputs, first)


def test_digits_are_enlarged():
    assert prepared(data(shape=(1, 8, 8)), Training()).train_inputs.shape == (40, 3, 32, 32)


def test_which_runs_the_experiments_need():
    assert configurations(Asked("alignment")) == ["fc-tanh"]
    assert not tuned(Asked("alignment", "pre-alignment"))
    assert [r.name for r in fixed(Asked("alignment", "pre-alignment"))] == ["fc-tanh", "fc-pai"]
    assert [t.run.name for t in tuned(Asked("conv"))] == ["bp-conv-tanh"]
    assert len(configurations(Asked("best-practices"))) == 14
    assert len(tuned(Asked("best-practices"))) == 12  # without the two that only change the feedback
    assert len(fixed(Asked("bottleneck", seeds=2))) == 2 * 3 * 14
    assert len(fixed(Asked(*EXPERIMENTS))) == 14 + 3 * 14 + 1


def test_every_rule_of_the_recipes_gets_the_same_effort():
    for preset in PRESETS:
        efforts = {len(tune.candidates) for tune in tuned(Asked("recipes", preset=preset))}
        assert len(efforts) == 1
        for tune in tuned(Asked("recipes", preset=preset)):
            names = [candidate.name for candidate in tune.candidates]
            assert len(set(names)) == len(names)
            assert all(candidate.settings.held_out for candidate in tune.candidates)
            assert not tune.run.settings.held_out


def test_the_best_candidate_is_chosen_and_the_run_is_as_long_as_ever():
    tune = next(t for t in tuned(Asked("recipes")) if t.run.name == "conv-fa")
    best = next(c for c in tune.candidates if c.settings.learning_rate == 1e-3 and c.settings.activation == "relu")
    chosen = tune.chosen({c.name: 10.0 for c in tune.candidates} | {best.name: 30.0})
    assert (chosen.settings.learning_rate, chosen.settings.activation) == (1e-3, "relu")
    assert replace(chosen.settings, learning_rate=0.1, activation="tanh") == replace(
        tune.run.settings, learning_rate=0.1, activation="tanh"
    )
    alone = Tuned(tune.run, tune.candidates[:1])
    assert alone.chosen({}).settings.learning_rate == tune.candidates[0].settings.learning_rate


def test_runs_are_grouped_by_configuration():
    assert run(Training(), name="fc-bn").group == "best-practices/fc-bn"
    for tune in tuned(Asked("recipes")):
        assert {candidate.group for candidate in tune.candidates} == {tune.run.group}


def test_summary_picks_the_last_the_early_and_the_least_later_cosine():
    line = {0: 0.0, **{10 * epoch: epoch / 100 for epoch in range(1, 12)}, 100: 0.03}
    curve = {"align/blocks.0/cosine": line, "test/accuracy": {110: 40.0}, "train/accuracy_at": {100: 1.0, 110: 2.0}}
    found = summary(curve, 10, held_out=False)
    assert found == {
        "test/accuracy": 40.0,
        "train/accuracy": 2.0,
        "cosine/1": 0.11,
        "early_cosine/1": 0.05,
        "least_later_cosine/1": 0.03,
    }
    assert summary({"test/accuracy": {5: 20.0}}, 10, held_out=True) == {"held-out/accuracy": 20.0}


def test_rises_and_drop_look_at_the_second_hidden_layer():
    def runs(variant, block, values):
        return {f"{variant}-{size}": {f"cosine/{block}": value} for size, value in values.items()}

    rising = {1: 0.1, 18: 0.2, 800: 0.9}
    assert rises("repo")(runs("repo", 1, rising)) == 1
    assert rises("mask")(runs("mask", 2, {1: 0.3, 18: 0.2, 800: 0.1})) == -1
    with pytest.raises(NotRunError):
        rises("repo")(runs("repo", 1, {46: 0.6}))  # one size has no rank correlation
    assert _drop(runs("mask", 2, {1: 0.1, 5: 0.2, 18: 0.5, 800: 0.9}), "mask") == pytest.approx(0.7)


def test_the_ids_of_claims_are_unique_and_all_experiments_have_some():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(EXPERIMENTS)


def test_what_rests_on_memory_is_not_judged():
    for claim in CLAIMS:
        if "to check this" in claim.expected:
            assert claim.tolerance is None


@pytest.mark.parametrize(("preset", "logged"), [("full", True), ("quick", False), ("smoke", False)])
def test_the_authors_log_is_drawn_beside_runs_of_its_length_only(monkeypatch, preset, logged):
    """Their numbers are of 50 epochs. Beside shorter runs they would show nothing but the length."""
    curve = {"train/accuracy_at": {1: 49.9}, "test/accuracy_at": {1: 45.4}}
    drawn = {}
    monkeypatch.setattr(figures, "_curves", lambda session: {"repo-1": [curve], "repo-18": [curve]})
    monkeypatch.setattr(figures, "cosines", lambda _: {1: {1: 0.6}, 2: {1: 0.6}})
    monkeypatch.setattr(figures, "draw", lambda _, name, panels, **axes: drawn.update({name: panels}))
    figures.draw_figures(Asked("bottleneck", preset=preset))
    assert {*drawn["bottleneck-accuracy"], *drawn["bottleneck-cosine"]} == {"repo"}  # no panel without a run
    lines = drawn["bottleneck-accuracy"]["repo"] | drawn["bottleneck-cosine"]["repo"]
    assert lines["test"] == [{size: 45.4 for size in (1, 18) if size in PRESETS[preset].sizes}]
    beside = {name: line for name, line in lines.items() if "log" in name}
    assert len(beside) == 3 * logged
    if logged:
        assert beside["test, authors' log"][0][46] == 45.6
        assert beside["train, authors' log"][0][800] == 99.5
        assert beside["second layer, authors' log"][0][1] == 0.069
