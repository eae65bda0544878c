"""N ranks equal one: gradients, weights and feedback after several steps, in float64, for every rule."""

import functools
from collections.abc import Sequence

import pytest
import torch

import lightning_fa as fa
from tests.cases import MECHANISMS
from tests.distributed.jobs import layerwise
from tests.distributed.launch import launch
from tests.distributed.net import STEPS, alone, build

pytestmark = pytest.mark.distributed

LAUNCHES: dict[int, dict[str, Sequence[str]]] = {
    2: dict.fromkeys(("ddp", "fsdp", "fsdp2"), tuple(fa.RULES))
    | dict.fromkeys(("ddp_find_unused", "ddp_static", "ddp_accumulate", "ddp_mixin", "ddp_compiled"), MECHANISMS)
    | dict.fromkeys(("fsdp_compiled", "fsdp2_compiled"), ("fa", "dfa", "lafs", "sg")),
    4: dict.fromkeys(("ddp", "fsdp2"), MECHANISMS),
}
"""Processes -> strategy -> rules. Options of DDP and more processes do not know what is done with the feedback. Sharded modules
compile in seconds: one rule of each family."""

RUNS = [(world, kind, rule) for world, kinds in LAUNCHES.items() for kind, rules in kinds.items() for rule in rules]


@functools.cache
def expected(rule, parts=1):
    return alone(rule, parts)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """All rules and strategies in one launch, since starting the processes is what takes time."""
    return launch("train", tmp_path_factory.mktemp("two"), 2, rules=LAUNCHES[2])


@pytest.fixture(scope="module")
def four_ranks(tmp_path_factory):
    return launch("train", tmp_path_factory.mktemp("four"), 4, rules=LAUNCHES[4])


def results_of(request):
    world, kind, rule = request.param
    ranks = [results[kind][rule] for results in request.getfixturevalue({2: "two_ranks", 4: "four_ranks"}[world])]
    for results in ranks:
        assert "error" not in results, results["error"]
    return kind, rule, ranks


def name(run):
    return "{1}-{0}-{2}".format(*run)


@pytest.fixture(params=RUNS, ids=name)
def trained(request):
    """Strategy, rule, and what each rank says."""
    return results_of(request)


@pytest.fixture(params=[run for run in RUNS if run[1].startswith("ddp")], ids=name)
def replicated(request):
    """Without FSDP, where gradients are in shards; there the weights speak for them."""
    return results_of(request)


def assert_close(ours, expected, where=""):
    assert ours.keys() == expected.keys(), where
    for name, value in expected.items():
        torch.testing.assert_close(
            ours[name], value, rtol=1e-9, atol=1e-12, msg=lambda m, name=name: f"{where}{name}: {m}"
        )


def test_weights_and_feedback_equal_those_of_one_process(trained):
    """A paper's number must not depend on how many GPUs its reader has."""
    kind, rule, ranks = trained
    start, one = build().state_dict(), expected(rule, 2 if kind == "ddp_accumulate" else 1)
    for rank, results in enumerate(ranks):
        assert_close(results["weights"], one["weights"], f"rank {rank}: ")
        assert_close(results["feedback"]["feedback"], one["feedback"]["feedback"], f"rank {rank}: ")
        assert (results["weights"]["net.4.weight"] - start["4.weight"]).abs().max() > 1e-3  # it did learn


def test_gradients_equal_those_of_the_joined_batch(replicated):
    """An unreduced gradient moves the weights of a rank on its own data alone, and the loss still falls."""
    kind, rule, ranks = replicated
    one = expected(rule, 2 if kind == "ddp_accumulate" else 1)
    for results in ranks:
        assert len(results["gradients"]) == STEPS
        for step, (ours, theirs) in enumerate(zip(results["gradients"], one["gradients"])):
            assert_close(ours, theirs, f"step {step}: ")


def test_all_ranks_hold_bitwise_the_same(trained):
    """Replicas that drift apart by a bit a step are different networks after an epoch."""
    first, *others = trained[2]
    for other in others:
        for ours, theirs in (
            (other["weights"], first["weights"]),
            (other["feedback"]["feedback"], first["feedback"]["feedback"]),
        ):
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_rules_that_cannot_be_sharded_layer_by_layer_say_so(tmp_path):
    """FSDP has thrown the feedback away by the time it is used: the error must name the way out, not a tensor's size."""
    rules = [rule for rule in fa.RULES if not layerwise(rule)]
    assert "sg" in rules
    for results in launch("layered", tmp_path, kinds=["fsdp", "fsdp2"], rules=rules):
        for errors in results.values():
            for rule in rules:
                assert "Shard the network as one unit" in errors[rule].get("error", ""), (rule, errors[rule])


@pytest.mark.parametrize("rule", fa.RULES)
def test_fabric_with_its_own_ddp_equals_one_process(fabric, rule):
    """Fabric knows nothing of us: what is attached to a model must be enough."""
    for rank, results in enumerate(fabric):
        assert_close(results[rule]["weights"], expected(rule)["weights"], f"rank {rank}: ")
        assert_close(
            results[rule]["feedback"]["feedback"],
            expected(rule)["feedback"]["feedback"],
        )


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    return launch("fabric", tmp_path_factory.mktemp("fabric"), rules=list(fa.RULES))
