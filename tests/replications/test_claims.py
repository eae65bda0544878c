"""Oracle: the meaning of the three verdicts."""

import pytest

from replications.experiment.results import CLAIM_KEYS
from replications.judging.claims import Claim, judge
from replications.judging.presets import PRESETS


def a_claim(**changes) -> Claim:
    arguments = {
        "id": "id",
        "experiment": "fig1",
        "statement": "statement",
        "expected": "expected",
        "tolerance": (10.0, 20.0),
        "source": "figure 1",
        "measure": lambda runs: runs["run"]["value"],
    }
    return Claim(**(arguments | changes))


def judged(values, preset="full", dataset="mnist", **changes):
    return judge(a_claim(**changes), [{"run": {"value": value}} for value in values], preset, dataset)


@pytest.mark.parametrize(
    ("value", "verdict"), [(10, "reproduced"), (20, "reproduced"), (9.9, "failed"), (20.1, "failed")]
)
def test_a_value_outside_either_side_of_the_interval_fails(value, verdict):
    """A value far better than the paper's may be backpropagation left on."""
    assert judged([value])["verdict"] == verdict


def test_the_interval_of_the_mean_is_judged_unless_every_seed_is_asked_for():
    assert judged([14, 15, 16])["verdict"] == "reproduced"
    assert judged([5, 25])["verdict"] == "undecided"
    assert judged([24, 25, 26])["verdict"] == "failed"
    assert judged([5, 25], over_seeds="every")["verdict"] == "failed"
    assert judged([11, 19], over_seeds="every")["verdict"] == "reproduced"


def test_a_verdict_whose_interval_crosses_a_bound_says_so():
    """A mean within its bound by less than its uncertainty is no reproduction, and one beyond it no failure."""
    assert judged([10.5, 11.5, 10.0])["verdict"] == "undecided"
    assert judged([9.5, 10.0, 9.0])["verdict"] == "undecided"


def test_an_interval_crosses_no_bound_where_no_value_can_be():
    """A distance of 0.1 +- 0.3 is not below 0."""
    distances = [0.0, 0.1, 0.2]
    assert judged(distances, tolerance=(0.0, 2.0))["verdict"] == "undecided"
    assert judged(distances, tolerance=(0.0, 2.0), possible=(0.0, 100.0))["verdict"] == "reproduced"


def test_the_record_has_mean_sample_deviation_interval_and_number_of_seeds():
    record = judged([12.0, 14.0, 16.0])
    assert (record["value"], record["std"], record["n"]) == (14.0, 2.0, 3)
    # Student's t with 2 degrees of freedom: 4.3027
    assert record["interval"] == pytest.approx([14 - 4.3027 * 2 / 3**0.5, 14 + 4.3027 * 2 / 3**0.5], abs=1e-3)
    assert record["tolerance"] == [10.0, 20.0]
    assert tuple(record) == CLAIM_KEYS


def test_one_seed_has_neither_deviation_nor_interval():
    record = judged([12.0])
    assert record["std"] is record["interval"] is None


def test_a_claim_whose_runs_are_missing_was_not_run_and_other_seeds_count():
    """A claim that is new has no verdict before its runs; a missing run must not pass for a failure, nor for a success."""
    runs = [{"run": {"value": 12.0}}, {"run": {}}, {}]
    record = judge(a_claim(), runs, "full", "mnist")
    assert (record["value"], record["n"], record["verdict"]) == (12.0, 1, "reproduced")
    assert judge(a_claim(), [{}], "full", "mnist")["verdict"] == "not run yet"
    assert judge(a_claim(tolerance=None), [{}], "full", "mnist")["verdict"] == "not run yet"


def test_an_undefined_value_fails_and_is_null_in_json():
    record = judged([float("nan"), 12.0])
    assert (record["value"], record["std"], record["verdict"]) == (None, None, "failed")


def test_a_claim_without_a_bound_is_reported():
    assert judged([12.0], tolerance=None)["verdict"] == "reported"


def test_a_claim_about_mnist_is_not_judged_on_stand_in_data_and_says_why():
    """Otherwise digits of 8 x 8 pixels would count as a replication of an MNIST result."""
    record = judged([12.0], dataset="digits (stand-in)")
    assert record["verdict"] == "reported"
    assert "not judged" in record["expected"]
    assert "digits (stand-in)" in record["expected"]


def test_a_number_is_not_judged_in_a_preset_that_is_too_short_for_it():
    assert judged([12.0], preset="smoke")["verdict"] == "reported"
    assert judged([12.0], preset="quick")["verdict"] == "reproduced"


def test_a_look_of_seconds_fails_claims_and_reproduces_none():
    """A run of 30 steps was once reported as "10 reproduced"."""
    holds = judged([12.0], preset="smoke", judged_from="smoke")
    assert holds["verdict"] == "reported"
    assert "[it holds; preset smoke" in holds["expected"]
    fails = judged([30.0], preset="smoke", judged_from="smoke")
    assert fails["verdict"] == "failed"
    assert "holds" not in fails["expected"]


def test_a_preset_that_is_longer_than_asked_for_is_long_enough():
    verdicts = [judged([12.0], preset=preset, judged_from="reduced")["verdict"] for preset in PRESETS]
    assert verdicts == ["reported", "reported", "reproduced", "reproduced"]
