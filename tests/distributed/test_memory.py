"""Gradients that are computed in the forward pass are reduced once, in the one backward pass, as if they were not."""

import pytest
import torch

from tests.distributed.launch import launch
from tests.distributed.net import STEPS

pytestmark = pytest.mark.distributed

KINDS = ["ddp", "ddp_find_unused", "ddp_static", "ddp_accumulate"]
RULES = ["lafs", "local", "drtp", "sg"]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return launch("settling", tmp_path_factory.mktemp("settling"), 2, kinds=KINDS, rules=RULES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES)
def test_gradients_are_bitwise_those_with_graphs_kept(ranks, kind, rule):
    """What the reducer does not see stays the gradient of one rank's data; what it sees twice is halved."""
    for results in ranks:
        result = results[kind][rule]
        assert "error" not in result, result["error"]
        ours, expected = result["settled"], result["kept"]
        assert ours["settled"] >= 2 * STEPS  # two blocks below the head in every pass
        assert expected["settled"] == 0
        assert len(ours["gradients"]) == STEPS
        for mine, theirs in zip(ours["gradients"], expected["gradients"]):
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
        assert all(torch.equal(ours["weights"][n], w) for n, w in expected["weights"].items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES)
def test_ranks_agree(ranks, kind, rule):
    """Gradients that were never reduced would let replicas drift apart, each on its own data."""
    first, second = (results[kind][rule]["settled"] for results in ranks)
    for mine, theirs in zip(first["gradients"], second["gradients"]):
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
