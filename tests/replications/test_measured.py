"""Oracle: scipy's rank correlation, and that what was not measured is not zero."""

import math

import pytest

from replications.judging.claims import NotRunError, Recorded
from replications.judging.measured import difference, of
from replications.judging.statistics import spearman

RUNS = {"x": {"a": 3.0}, "y": {"a": 1.0}}


def test_a_number_of_one_run_and_a_difference_of_two():
    assert of("x", "a")(RUNS) == 3.0
    assert difference("a", "x", "y")(RUNS) == 2.0


def test_what_was_not_measured_is_undefined():
    assert math.isnan(of("x", "b")(RUNS))
    with pytest.raises(NotRunError):
        of("z", "a")(Recorded(RUNS))
    with pytest.raises(NotRunError):
        difference("a", "x", "z")(Recorded(RUNS))


@pytest.mark.parametrize(
    "values", [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [0.2, 0.1, 0.5, 0.4, 0.9], [1.0, 2.0, 2.0, 0.0, 2.0]]
)
def test_the_rank_correlation_is_scipys(values):
    stats = pytest.importorskip("scipy.stats")
    assert spearman(values) == pytest.approx(stats.spearmanr(values, range(len(values))).statistic)


def test_a_diverged_sequence_has_no_rank_correlation():
    assert math.isnan(spearman([1.0, math.nan, 3.0]))


def test_the_rank_correlation_of_any_order_is_no_more_than_1():
    """Claims accept it up to 1: a rounding error above it would fail a perfect result."""
    for n in range(2, 40):
        assert 1 - 1e-12 < spearman(list(range(n))) <= 1
        assert -1 <= spearman(list(range(n, 0, -1))) < -1 + 1e-12


def test_a_constant_sequence_has_no_rank_correlation():
    assert math.isnan(spearman([2.0, 2.0, 2.0]))
