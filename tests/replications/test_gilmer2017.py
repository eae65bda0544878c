"""Oracle: faults that the claims of gilmer2017 must catch, and its set-up as section 4 of the paper gives it."""

import math

import pytest
import torch
from torch import nn

from replications.claims import judge
from replications.gilmer2017 import CLAIMS, EXPERIMENTS, PRESETS, SEEDS
from replications.gilmer2017.model import TanhNetwork
from replications.gilmer2017.runs import rule_of
from replications.gilmer2017.settings import Settings
from replications.gilmer2017.summary import summary
from replications.session import Run


def metrics(angle=(24, 23, 20), readout=(78, 86, 90), test=93.0, initial=1.6, fresh=10.0):
    layers = range(1, 4)
    found = {"test/accuracy": test, "accuracy/top": test}
    for i in layers:
        found |= {f"error_angle/{i}": angle[i - 1], f"largest_error_angle/{i}": angle[i - 1] + 0.5}
        found |= {f"initial_error_angle/{i}": initial, f"readout/{i}": readout[i - 1]}
        found |= {f"fresh_readout/{i}": fresh, f"backprop_angle/{i}": 50.0}
    return found


def verdicts(**changed):
    runs = {
        "dfa": metrics(),
        "lafs": metrics((17, 14, 9), (90, 92, 93), 93.5),
        "bp": {"test/accuracy": 97.0},
        "bp-1-layer": {"test/accuracy": 95.0},
    }
    runs |= {f"{rule}-b{bound}": metrics((60, 60, 60)) for rule in ("dfa", "lafs") for bound in ("0.2", "1")}
    return {claim.id: judge(claim, [runs | changed], "full", "mnist")["verdict"] for claim in CLAIMS}


def failed(**changed):
    return {name for name, verdict in verdicts(**changed).items() if verdict == "failed"}


def test_the_pilots_numbers_reproduce_every_claim_that_has_a_bound():
    assert failed() == set()
    assert {name for name, verdict in verdicts().items() if verdict == "reported"} == {
        "dfa-backprop-angle",
        "lafs-backprop-angle",
        "one-hidden-layer",
        "backprop",
    }


def test_backpropagation_left_on_fails_although_it_classifies_better():
    backprop = metrics((85, 85, 85), (10, 11, 9), 98.0)
    assert {"dfa-test-accuracy", "dfa-readout", "dfa-largest-angle"} <= failed(dfa=backprop)


def test_lafs_that_secretly_is_dfa_fails():
    assert {"lafs-reads-out-better", "dfa-angle-larger", "lafs-readout"} <= failed(lafs=metrics())


def test_one_bad_layer_is_enough_to_fail():
    assert "dfa-readout" in failed(dfa=metrics(readout=(90, 60, 90)))
    assert "dfa-below-90" in failed(dfa=metrics(angle=(20, 20, 91)))
    assert "dfa-b1-below-90" in failed(**{"dfa-b1": metrics(angle=(91, 20, 20))})


def test_feedback_of_zeros_fails_since_its_angle_at_the_start_is_exactly_zero():
    assert "dfa-initial-angle" in failed(dfa=metrics(initial=0.0))


def test_a_fresh_readout_that_works_fails_the_control():
    assert "lafs-fresh-readout" in failed(lafs=metrics(fresh=40.0))


def test_a_layer_that_diverged_late_or_in_one_place_only_fails():
    """max and min pass over nan, depending on its position."""
    nan = math.nan
    assert {"dfa-below-90", "dfa-largest-angle", "dfa-angle-larger"} <= failed(dfa=metrics(angle=(24, nan, 20)))
    assert {"lafs-readout", "lafs-reads-out-better"} <= failed(lafs=metrics(readout=(90, 92, nan)))
    found = summary({"error_angle/1": {0: 1.0, 1: 20.0, 3: nan}})
    assert math.isnan(found["largest_error_angle/1"])


def test_every_claim_belongs_to_an_experiment_and_has_a_name_of_its_own():
    assert {claim.experiment for claim in CLAIMS} == set(EXPERIMENTS)
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)


def test_the_full_preset_is_section_4_of_the_paper():
    full = PRESETS["full"]
    assert full == Settings()
    assert (full.hidden, full.learning_rate, full.epochs, SEEDS["full"]) == ((800, 800, 800), 0.1, 10, 5)


def test_the_quick_preset_trains_figure_1_in_full_length():
    quick = PRESETS["quick"]
    assert (quick.hidden, quick.epochs, quick.max_steps, quick.train_samples) == ((800, 800, 800), 10, -1, None)


def test_the_network_starts_with_weights_within_one_over_root_fan_in_and_without_biases():
    model = TanhNetwork(784, (800, 800, 800), 10, 0.1)
    linear = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (784, 800),
        (800, 800),
        (800, 800),
        (800, 10),
    ]
    for layer in linear:
        bound = 1 / math.sqrt(layer.in_features)
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()
    assert [model.get_submodule(tap).in_features for tap in model.taps] == [800, 800, 800]


@pytest.mark.parametrize(("bound", "scale"), [(None, 1.0), (0.2, 0.2 * math.sqrt(800)), (1.0, math.sqrt(800))])
def test_the_bound_of_b_becomes_the_scale_of_the_uniform_initialiser(bound, scale):
    rule = rule_of(Run("b-scale", "dfa", "dfa", 3, Settings(feedback_bound=bound)))
    assert (rule.seed, rule.init) == (3, "uniform")
    assert rule.scale == pytest.approx(scale)


def test_the_summary_takes_the_last_value_and_leaves_step_0_out_of_the_largest_angle():
    curve = {
        "error_angle/1": {0: 50.0, 1: 20.0, 3: 30.0, 10: 25.0},
        "readout/1": {0: 10.0, 10: 80.0},
        "train/loss": {5: 2.0},
        "epoch": {10: 1.0},
    }
    assert summary(curve) == {
        "error_angle/1": 25.0,
        "readout/1": 80.0,
        "initial_error_angle/1": 50.0,
        "largest_error_angle/1": 30.0,
    }


def test_the_model_learns_under_plain_pytorch_so_that_it_is_an_ordinary_module():
    torch.manual_seed(0)
    model = TanhNetwork(12, (8,), 3, 0.1)
    x, y = torch.randn(64, 3, 4), torch.randint(3, (64,))
    optimizer = model.configure_optimizers()
    losses = []
    for _ in range(50):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
