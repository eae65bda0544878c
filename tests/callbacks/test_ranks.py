"""Callbacks on several ranks."""

import pytest

from tests.distributed.launch import launch

pytestmark = pytest.mark.distributed


def test_two_ranks_log_the_mean_over_the_samples_of_both_and_train_as_without(tmp_path):
    """The first batch of both ranks together is one batch of a single rank (its samples interleaved by the sampler)."""
    runs = {}
    for ranks in (1, 2):
        (folder := tmp_path / str(ranks)).mkdir()
        runs[ranks] = launch("watched", folder, ranks)
    for watched, plain in runs[2]:
        assert watched["weights"].keys() == plain["weights"].keys()
        assert all(weight.equal(plain["weights"][name]) for name, weight in watched["weights"].items())
    first, single = (runs[ranks][0][0]["history"][0] for ranks in (2, 1))
    assert first.keys() == single.keys()
    for name in single:
        if "update" not in name:  # the angle of the mean gradient is not the mean of the ranks' angles
            assert first[name] == pytest.approx(single[name], abs=1e-3), name
