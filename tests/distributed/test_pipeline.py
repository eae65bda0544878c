"""A network in stages, one in each process, is the network in one process."""

import functools
import re

import pytest
import torch

import lightning_fa as fa
from tests.cases import MECHANISMS
from tests.distributed.launch import launch
from tests.distributed.pipeline_jobs import CASES, LOSSES, MICROBATCHED, RULES, refusal, run_case, told
from tests.distributed.pipeline_net import Learner

pytestmark = pytest.mark.distributed


@functools.cache
def expected(name):
    return told(*run_case(name, 1, fa.FeedbackStrategy))


EVERY_RULE = [name for name in CASES if name in RULES]
SPECIAL = [name for name in CASES if name not in RULES]
NAMES = {
    "two": [*EVERY_RULE, "lafs, sgd"],
    "three": [*(rule for rule in MECHANISMS if rule in EVERY_RULE), "drtp", *SPECIAL],
}
"""Number of stages -> cases. Three have a middle one; what a rule asks of a stage depends on its mechanism."""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return launch("pipelined", tmp_path_factory.mktemp("two"), 2, names=NAMES["two"])


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return launch("pipelined", tmp_path_factory.mktemp("three"), 3, names=NAMES["three"])


@pytest.fixture(params=["two", "three"])
def ranks(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[(stages, name) for stages, names in NAMES.items() for name in names], ids="-".join)
def trained(request):
    """The case, and what each rank says of it."""
    stages, name = request.param
    return name, [results[name] for results in request.getfixturevalue(stages)]


def assert_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-9, atol=1e-12, msg=lambda m, name=name: f"{name}: {m}")


def test_weights_equal_those_of_one_process(trained):
    """Stages that see a batch too late, or a norm of their own only, train another network than the paper's."""
    name, ranks = trained
    one = expected(name)
    for results in ranks:
        assert "error" not in results, results["error"]
        assert results["steps"] == one["steps"]
        assert_close(results["weights"], one["weights"])
        assert_close(results["feedback"], one["feedback"])


HEARD_IN_A_PIPELINE = ("nothing", "the output")


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_the_registry_is_that_of_one_process_or_refused(rule, two):
    """A pipeline that trained by another rule than its name would be somebody's result."""
    why = refusal(rule)
    if RULES[rule].hears not in HEARD_IN_A_PIPELINE:
        assert why is not None
        assert re.search(r"cannot train in a pipeline: (its|each of its) ", why)
        return
    assert why is None
    begun = dict(Learner(loss=LOSSES.get(rule, "cross_entropy")).state_dict())
    for results in two:
        assert_close(results[rule]["weights"], expected(rule)["weights"])
    moved = [
        name for name, w in expected(rule)["weights"].items() if not w.equal(begun[name]) and name.endswith("weight")
    ]
    assert len(moved) >= (1 if rule == "shallow" else 4), moved  # a rule that taught nothing is equal everywhere


def test_rank_0_logs_what_one_process_logs(trained):
    """A loss averaged with that of placeholders still falls, and is nobody's loss."""
    name, (first, *_) = trained
    one = expected(name)
    assert first["losses"] == pytest.approx(one["losses"], rel=1e-9)
    assert_close(first["metrics"], one["metrics"])


def test_all_ranks_decide_by_the_metrics_of_rank_0(trained):
    """A scheduler that sees a placeholder's loss lowers the rate of one stage only."""
    name, ranks = trained
    one = expected(name)
    for results in ranks:
        assert results["rates"] == one["rates"]
        ours = {key: value for key, value in results["metrics"].items() if not key.endswith("_step")}
        ours.pop("loss")  # that of the step
        assert_close(ours, {key: one["metrics"][key] for key in ours})
        assert {"accuracy", "val_loss", "loss_epoch"} <= ours.keys()
    assert "plateau" not in name or one["rates"] != [1e-2]  # else nothing was decided


def test_each_rank_holds_its_own_stage_only(ranks):
    """What one device cannot hold must not be needed on each."""
    whole = sum(p.numel() for p in Learner().parameters())
    for name in ("lafs", "lafs, sgd", "drtp"):
        held = [results[name]["held"] for results in ranks]
        per_weight = 1 if "sgd" in name else 2
        assert sum(h["gradients"] for h in held) == sum(
            p.numel() for p in run_case(name, 1, fa.FeedbackStrategy)[1].parameters()
        )
        assert sum(h["moments"] for h in held) == per_weight * sum(h["gradients"] for h in held)
        assert max(h["gradients"] for h in held) < whole
        for h in held:
            # In parts that no stage holds for itself there is one number for each, and the few weights between the blocks.
            assert h["parameters"] < h["gradients"] + 60


MASKED = {
    "one for each block": ({"dropout": 0.3}, "net.1.weight", "lafs", "net.0.weight"),
    "inside the blocks": (
        {"net": "encoder with dropout"},
        "net.layers.0.linear1.weight",
        "an encoder",
        "net.layers.0.linear1.weight",
    ),
    "one for all": (
        {"net": "one dropout for all", "mix": True},
        *("net.first.weight", "one activation for all blocks", "net.first.weight"),
    ),
}
"""Name -> arguments of the module, a weight, and the case without masks, where that weight has the other name."""


@pytest.mark.parametrize("name", MASKED)
def test_masks_are_those_of_any_other_number_of_stages(name, tmp_path):
    """Dropout that draws from one stream on every rank gives all stages one mask, and data that differ between ranks."""
    runs, (arguments, weight, case, same) = [], MASKED[name]
    for world in (1, 2, 3):
        (folder := tmp_path / str(world)).mkdir()
        runs.append(launch("random_layers", folder, world, **arguments))
    one = runs[0][0]
    for results in (each for run in runs[1:] for each in run):
        assert_close(results["weights"], one["weights"])
    without = expected(case)
    assert (one["weights"][weight] - without["weights"][same]).abs().max() > 1e-3


@pytest.mark.parametrize("world", [2, 3])
def test_a_batch_in_parts_is_the_batch(world, tmp_path):
    """An error that reaches another microbatch's activations trains on samples with the labels of others."""
    for results in launch("microbatched", tmp_path, world):
        for name in MICROBATCHED:
            logged = results[name]["metrics"]["loss_epoch"]
            torch.testing.assert_close(logged, expected(name)["metrics"]["loss_epoch"], rtol=1e-9, atol=0)
            assert_close(results[name]["weights"], expected(name)["weights"])
            assert_close(results[name]["feedback"], expected(name)["feedback"])
