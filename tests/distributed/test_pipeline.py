"""A network in stages, one in each process, is the network in one process."""

import functools

import pytest
import torch

import lightning_fa as fa
from tests.distributed.launch import launch
from tests.distributed.pipeline_jobs import CASES, run_case, told

pytestmark = pytest.mark.distributed


@functools.cache
def expected(name):
    return told(*run_case(name, 1, fa.FeedbackStrategy))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return launch("pipelined", tmp_path_factory.mktemp("two"), 2, names=list(CASES))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return launch("pipelined", tmp_path_factory.mktemp("three"), 3, names=list(CASES))


@pytest.fixture(params=["two", "three"])
def ranks(request):
    return request.getfixturevalue(request.param)


def assert_close(ours, theirs, loose):
    assert ours.keys() == theirs.keys()
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if not loose else {"rtol": 1e-3, "atol": 1e-5}
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, **tolerance, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("name", CASES)
def test_weights_equal_those_of_one_process(ranks, name):
    """Stages that see a batch too late, or a norm of their own only, train another network than the paper's."""
    one = expected(name)
    for results in ranks:
        assert "error" not in results[name], results[name]["error"]
        assert results[name]["steps"] == one["steps"]
        assert_close(results[name]["weights"], one["weights"], loose="bf16" in name)
        assert_close(results[name]["feedback"], one["feedback"], loose="bf16" in name)
