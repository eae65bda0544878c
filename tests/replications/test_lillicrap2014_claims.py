"""Oracle: faults that the claims of lillicrap2014 must catch."""

import pytest

from replications.judging.claims import judge
from replications.papers.lillicrap2014 import CLAIMS, EXPERIMENTS
from replications.papers.lillicrap2014.settings import OMEGAS

OMEGA = {
    f"omega-{w:g}": {
        "bp_angle_2000": 30 + 60 * w,
        "pbp_angle_2000": 16 + 60 * w,
        "pbp_angle_learnt": 4 + 100 * w,
    }
    for w in OMEGAS
}
MNIST = {
    "mnist-bp": {"test_error": 2.4, "test_error_15": 6.0, "angle": 88.0},
    "mnist-fa": {"test_error": 2.1, "test_error_15": 4.7, "angle": 37.0, "angle_epoch_1": 82.0, "angle_epoch_10": 45.0},
    "mnist-fa-sparse-w": {"test_error": 2.4, "angle": 54.0},
    "mnist-shallow": {"test_error": 7.2},
}
LINEAR = {
    "linear-bp": {"log10_nse": -11.0, "nse_500": 3e-3, "angle_last": 90.0},
    "linear-fa": {
        "log10_nse": -11.7, "nse_500": 2.5e-4, "angle_first": 88.0, "angle_last": 25.0, "angle_largest": 40.0,
    },
    "linear-shallow": {"nse": 0.4, "angle_last": 90.0},
    "linear-node-perturbation": {"log10_nse": -2.3},
    "matched-bp": {"learnt_at": 1300.0},
    "matched-pbp": {"learnt_at": 1000.0, "gauss_newton_distance": 1e-15, "bp_gauss_newton_angle": 40.0},
}  # fmt: skip
STUDENTS = {
    f"student-{name}": {"log10_nse": value}
    for name, value in (("shallow", -0.3), ("bp-3", -0.7), ("fa-3", -0.8), ("bp-4", -6.0), ("fa-4", -1.0))
}
THEORY = {
    "flow": {
        "w0": 2 ** (1 / 3),
        "w": 2 ** (-1 / 3),
        "w_bad_start": -0.6,
        "bad_fraction": 0.13,
        "invariant_drift": 1e-8,
    },
    "mean-flow": {"log10_error_ratio": -14.8, "lyapunov_rise": 0.0, "invariant_drift": 1e-8},
    "mean-flow-repeated-column": {"error": 2.5},
    "mean-flow-narrow": {"error": 3.5, "least_error_of_rank": 2.5},
    "single-pair": {"largest_pbp_angle": 1e-6, "constant_over_ours": 1.0, "constant_over_papers": 1e-3},
    "single-pair-not-from-0": {"largest_pbp_angle": 100.0},
}
ALL = OMEGA | MNIST | LINEAR | STUDENTS | THEORY


def failed(**changed):
    """The claims that fail if these numbers of these runs differ; dashes of names are written as underscores."""
    runs = {name: dict(numbers) for name, numbers in ALL.items()}
    for name, numbers in changed.items():
        runs[name.replace("_", "-")] |= numbers
    # seeds differ by something, since a t test needs a spread
    seeds = [{**runs, "student-fa-4": {"log10_nse": runs["student-fa-4"]["log10_nse"] - i / 1e3}} for i in range(3)]
    verdicts = {c.id: judge(c, seeds[: c.seeds], "full", "mnist")["verdict"] for c in CLAIMS}
    return {name for name, verdict in verdicts.items() if verdict not in ("reproduced", "reported")}


def test_what_the_paper_and_the_pilots_found_reproduces_every_claim():
    assert failed() == set()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"linear_fa": LINEAR["linear-bp"] | {"angle_first": 0, "angle_last": 0, "angle_largest": 0}},
         {"linear-fa-ahead", "linear-angle-last", "linear-angle-below-90"}),
        ({"mnist_fa": {"angle": 0.0, "angle_epoch_1": 0.0, "angle_epoch_10": 0.0}},
         {"mnist-angle", "mnist-angle-1", "mnist-angle-10"}),
        ({"mnist_shallow": {"test_error": 2.4}}, {"mnist-shallow"}),
        ({"mnist_fa_sparse_w": {"test_error": 2.1, "angle": 37.0}}, {"mnist-sparse-angle"}),
        ({"mnist_bp": {"angle": 37.0}}, {"mnist-control-angle"}),
        ({"omega_0.01": {"pbp_angle_2000": 30.6}}, {"omega-gap"}),
        ({"omega_0.01": {"pbp_angle_learnt": float("nan")}}, {"omega-pbp-learnt"}),
        ({"omega_0.25": {"bp_angle_2000": 0.0}}, {"omega-bp-monotone"}),
        ({"matched_pbp": {"learnt_at": 1300.0}}, {"pbp-faster"}),
        ({"matched_pbp": {"gauss_newton_distance": 0.5}}, {"gauss-newton"}),
        ({"student_fa_4": {"log10_nse": -0.8}}, {"student-fa-depth"}),
        ({"student_shallow": {"log10_nse": -0.8}}, {"student-shallow"}),
        ({"mean_flow": {"log10_error_ratio": -2.0}}, {"thm1-error"}),
        ({"mean_flow_repeated_column": {"error": 1e-12}}, {"thm1-repeated-column"}),
        ({"mean_flow_narrow": {"error": 2.5}}, {"thm1-narrow"}),
        ({"single_pair": {"constant_over_ours": 18.6**2}}, {"thm2-constant"}),
        ({"single_pair_not_from_0": {"largest_pbp_angle": 1e-6}}, {"thm2-control"}),
        ({"flow": {"w": -2 ** (-1 / 3)}}, {"flow-w"}),
    ],
)  # fmt: skip
def test_faults_fail(changed, expected):
    """Among them backpropagation left on, a mask that does nothing, a control that is no control."""
    assert expected <= failed(**changed)


def test_every_claim_belongs_to_an_experiment_and_every_experiment_but_the_image_has_claims():
    assert {claim.experiment for claim in CLAIMS} == set(EXPERIMENTS) - {"figS1"}
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)


def test_a_run_that_was_too_short_is_undefined_and_not_zero():
    claim = next(c for c in CLAIMS if c.id == "mnist-bp-15")
    record = judge(claim, [{**ALL, "mnist-bp": {"test_error": 50.0}}], "smoke", "mnist")
    assert record["value"] is None
    assert record["verdict"] == "reported"


def test_no_text_breaks_the_readmes_table():
    assert not any("|" in text for claim in CLAIMS for text in (claim.statement, claim.expected, claim.source))
