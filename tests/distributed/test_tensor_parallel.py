"""Layers that tensor parallelism divides over ranks equal whole layers, or are refused."""

import functools

import pytest
import torch

import lightning_fa as fa
from tests.distributed import divided
from tests.distributed.launch import launch
from tests.distributed.test_ranks import assert_close

pytestmark = pytest.mark.distributed

DRAWS = [name for name, rule in fa.RULES.items() if rule.stochastic]
INSIDE = [name for name, rule in fa.RULES.items() if issubclass(rule, fa.TransportRule) and name not in DRAWS]
UNITS = [
    name for name in fa.RULES if name not in DRAWS and name not in ("ifa", "kickback")
]  # these two take single layers
BOTH = {"layers": ["bp", "fa", "kp", "usf"], "units": ["dfa", "lafs", "dkp", "sg"]}
REFUSED = [
    "dfa",
    "lafs",
    "drtp",
    "dkp",
    "local",
    "sg",
    "sgprop",
    "ebd",
    "solo",
    "dfa_sign",
    "dfa_sparse",
    "dfa_lowrank",
]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    rules = {"layers": [*INSIDE, *DRAWS, *REFUSED], "units": UNITS}
    return launch("divided", tmp_path_factory.mktemp("divided"), 2, rules=rules)


@pytest.fixture(scope="module")
def four_ranks(tmp_path_factory):
    return launch("divided", tmp_path_factory.mktemp("both"), 4, rules=BOTH, data=2)


@functools.cache
def expected(plan, rule):
    return divided.alone(plan, rule)


@pytest.mark.parametrize(
    ("plan", "rule"), [*(("layers", rule) for rule in INSIDE), *(("units", rule) for rule in UNITS)]
)
def test_divided_layers_equal_whole_ones(two_ranks, plan, rule):
    if rule == "pbp" and torch.__version__ < "2.9":
        pytest.skip("PyTorch 2.8 has no pseudoinverse of a divided weight")
    assert_equal_to_one(two_ranks, plan, rule)


@pytest.mark.parametrize(("plan", "rule"), [(plan, rule) for plan, rules in BOTH.items() for rule in rules])
def test_layers_that_fsdp2_shards_as_well_equal_whole_ones(four_ranks, plan, rule):
    assert_equal_to_one(four_ranks, plan, rule)


def assert_equal_to_one(ranks, plan, rule):
    one = expected(plan, rule)
    for rank, results in enumerate(ranks):
        assert "error" not in results[plan][rule], results[plan][rule]
        assert_close(results[plan][rule]["weights"], one["weights"], f"rank {rank}: ")
        assert_close(results[plan][rule]["feedback"], one["feedback"], f"rank {rank}: ")


@pytest.mark.parametrize("rule", [*DRAWS, *REFUSED])
def test_a_rule_that_needs_what_is_divided_says_so(two_ranks, rule):
    for results in two_ranks:
        assert "tensor parallelism (`parallelize_module`)" in results["layers"][rule].get("error", "")


@pytest.mark.parametrize("rule", [rule for rule in INSIDE if rule != "bp"])
def test_rules_tell_apart_what_they_are_compared_on(rule):
    """A comparison on which every rule is backpropagation would pass as well."""
    below = "net.0.weight"
    assert (expected("layers", rule)["weights"][below] - expected("layers", "bp")["weights"][below]).abs().max() > 1e-4
