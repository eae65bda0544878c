"""Oracle: the paper's statements as numbers, and faults that the claims of czarnecki2017 must catch."""

import math

import pytest

from replications.judging.claims import judge
from replications.papers.czarnecki2017 import CLAIMS, EXPERIMENTS
from replications.papers.czarnecki2017.claims.representations import first_static
from replications.papers.czarnecki2017.claims.table2 import PAPER

DEPTH = 10
RISING = [i / DEPTH for i in range(1, DEPTH + 1)]


def network(rsa, norms=RISING, probe=(99.0, 99.9), ridge=97.0, mse=0.01, test=98.0, train=99.9, steps=1000.0):
    found = {"test/accuracy": test, "train/accuracy": train, "steps_to_0.02": steps}
    for i in range(1, DEPTH + 1):
        found |= {f"rsa/{i}": rsa[i - 1], f"weights/layers.hidden{i}/norm": norms[i - 1]}
        found |= {f"probe/layers.hidden{i}/input_mse": mse * i, f"probe/layers.hidden{i}/train_accuracy": ridge}
    return found | {f"probe/layers.norm{i}/converged_train_accuracy": p for i, p in enumerate(probe, start=1)}


EARLY = [0.57, 0.64, 0.74, 0.83, 0.96, 0.97, 0.98, 0.99, 0.99, 1.0]
MIDDLE = [0.57, 0.73, 0.89, 0.95, 0.98, 0.99, 0.99, 0.99, 1.0, 1.0]
GRADUAL = [0.56, 0.65, 0.72, 0.80, 0.86, 0.91, 0.95, 0.97, 0.99, 1.0]


def as_the_paper_says():
    """Runs in which everything is as the paper, or our pilot where it gives no number, has it."""
    runs = {
        "bp-relu-10": network(EARLY, probe=(98.0, 99.8), test=98.0),
        "sg-mid-relu-10": network(MIDDLE, test=98.4, steps=800.0),
        "sg-all-relu-10": network(GRADUAL, norms=RISING[::-1], test=96.0),
        "dfa-relu-10": network(MIDDLE, probe=(99.5, 100.0), ridge=98.0, mse=0.02, test=97.6),
        "sg-loss-alone-relu-10": network(MIDDLE, ridge=97.0, test=97.0),
        "lower-half-fixed-relu-10": network(MIDDLE, ridge=90.0, test=94.0),
        "bp-as-sg-all-relu-10": network(EARLY),
        "untrained-relu-10": network(EARLY, probe=(96.0, 95.0)),
        "table1": {f"difference/{r}": 1e-15 for r in ("sg", "sgprop", "bp", "dfa", "fa", "kickback")},
        "fig6": {"sg_loss/3": 6.0, "sg_signal/3": 1e-9, "sg_largest/3": 0.8},
        "thm1": {"distance": 1e-14, "sg_error": 1e-14, "distance_untrained": 3.0},
        "prop2": {"gap": 1e-9, "least_cosine": 0.96, "applied": 0.5},
        "step-time": {f"ratio/{rule}": 1.0 for rule in ("sg-mid", "sg-all", "dfa")},
    }
    runs["table1"] |= {"wrong_flags": 0.0, "kickback_softmax": 0.0}
    runs["fig6"] |= {f"{name}/{i}": 0.0 for name in ("moved", "bp_loss") for i in range(3)}
    for act, depth in (("relu", 3), ("sigmoid", 3), ("sigmoid", 10)):
        runs |= {f"{rule}-{act}-{depth}": network(EARLY) for rule in ("bp", "sg-mid")}
        for rule in ("bp", "sg-mid"):
            runs[f"{rule}-{act}-{depth}"].pop("rsa/1")
    for (dataset, model), value in PAPER.items():
        name = "deep-log-swept/sg" if model == "deep" else "shallow-log/sg"
        runs.setdefault(dataset, {"shallow-mse/sg": 0.0, "deep-mse/sg": 0.0})[name] = value
        runs[dataset]["shallow-log/bp"] = 0.002
    for loss in ("mse", "log"):
        for labels in ("linear", "random"):
            for inputs, fidelity, final in (("both", 0.8, 0.01), ("activations", 0.5, 0.02), ("labels", 0.3, 0.2)):
                runs[f"{labels}-{loss}-{inputs}"] = {
                    "early": fidelity,
                    "early_within_labels": fidelity,
                    "early_top_two": 0.9,
                    "early_top_minus_bottom": 0.3,
                    "late": 0.4,
                    "loss": final,
                }
    return runs


def failed(runs):
    records = [judge(claim, [runs] * 5, "full", "mnist") for claim in CLAIMS]
    return {record["id"] for record in records if record["verdict"] == "failed"}


def changed(name, **values):
    runs = as_the_paper_says()
    runs[name] = runs[name] | {key.replace("__", "/"): value for key, value in values.items()}
    return runs


def test_the_papers_own_statements_reproduce_every_claim_that_has_a_bound():
    assert failed(as_the_paper_says()) == set()


def test_backprop_left_on_under_the_name_of_sg_fails():
    """Its networks are backprop's in every measure."""
    runs = as_the_paper_says()
    runs |= {"sg-mid-relu-10": runs["bp-relu-10"], "sg-all-relu-10": runs["bp-relu-10"]}
    assert "fig5-sg-all" in failed(runs)


def test_backprop_left_on_on_artificial_data_fails():
    runs = as_the_paper_says()
    for name in ("linear2", "linear100", "noisy100"):
        runs[name] = runs[name] | {"shallow-log/sg": runs[name]["shallow-log/bp"] / 10}
    found = failed(runs)
    assert {"table2-shallow-log-linear2", "table2-shallow-log-linear100", "table2-shallow-log-noisy100"} <= found
    assert "table2-linear2-ratio" in found


def test_sg_that_cannot_learn_fails():
    runs = as_the_paper_says() | {
        "sg-mid-sigmoid-10": {"train/accuracy": 90.0, "test/accuracy": 89.0, "steps_to_0.02": math.nan}
    }
    assert failed(runs) == {"fig4-sigmoid-train", "fig4-sigmoid-test"}


def test_an_upper_half_that_does_all_the_work_fails_footnote_5():
    runs = as_the_paper_says()
    runs["lower-half-fixed-relu-10"] = runs["sg-loss-alone-relu-10"]
    assert failed(runs) == {"footnote5-lower-half"}


def test_dfa_that_secretly_is_backprop_fails_the_regression_to_the_input():
    runs = as_the_paper_says()
    runs["dfa-relu-10"] = runs["bp-relu-10"]
    assert {"fig8-input", "fig8-dfa-layer-1", "fig8-dfa-above-bp"} <= failed(runs)


@pytest.mark.parametrize("rule", ["bp", "sg-mid", "dfa"])
def test_a_network_that_learns_nothing_fails_figure_8(rule):
    runs = as_the_paper_says()
    runs[f"{rule}-relu-10"] = runs["untrained-relu-10"]
    assert ("fig8-dfa-layer-1" if rule == "dfa" else f"fig8-{rule}-layer-2") in failed(runs)


def test_probes_that_separate_an_untrained_network_fail_figure_8():
    """On 10 000 samples they do."""
    runs = as_the_paper_says() | {"untrained-relu-10": network(EARLY, probe=(100.0, 100.0))}
    assert failed(runs) == {"fig8-untrained-layer-1", "fig8-untrained-layer-2"}


def test_probes_of_few_samples_are_not_judged():
    by_id = {claim.id: judge(claim, [as_the_paper_says()] * 3, "quick", "mnist")["verdict"] for claim in CLAIMS}
    assert by_id["fig8-bp-layer-2"] == by_id["fig8-untrained-layer-1"] == "reported"


@pytest.mark.parametrize(
    ("name", "values", "claim"),
    [
        ("table1", {"difference__fa": 1e-3}, "table1-fa"),
        ("table1", {"wrong_flags": 1.0}, "table1-flags"),
        ("fig6", {"moved__1": 0.1}, "fig6-stays"),
        ("fig6", {"bp_loss__2": 1.8}, "fig6-bp"),
        ("fig6", {"sg_loss__3": 0.0}, "fig6-fourth"),
        ("thm1", {"distance": 1e-3}, "thm1-weights"),
        ("thm1", {"distance_untrained": 0.0}, "thm1-control"),
        ("prop2", {"gap": 1e-2}, "prop2-gap"),
        ("prop2", {"applied": 1.0}, "prop2-share"),
        ("prop2", {"applied": 0.0, "least_cosine": math.nan}, "prop2-cosine"),
        ("linear-log-both", {"late": 0.95}, "fig2-falls-linear-log"),
        ("linear-mse-both", {"early_top_minus_bottom": -0.1}, "fig2-top-linear-mse"),
        ("fig6", {"sg_loss__3": 10.0}, "fig6-fourth"),
        ("fig6", {"sg_largest__3": 0.0}, "fig6-fourth-moves"),
        ("noisy2", {"deep-mse__sg": 0.01}, "table2-deep-mse"),
    ],
)
def test_one_wrong_number_is_caught_by_its_claim(name, values, claim):
    assert claim in failed(changed(name, **values))


def test_an_sg_that_sees_less_but_is_as_good_fails_figure_9():
    runs = as_the_paper_says()
    for loss in ("mse", "log"):
        runs[f"random-{loss}-labels"] = runs[f"random-{loss}-both"]
    assert {f"fig9-labels-random-{loss}" for loss in ("mse", "log")} <= failed(runs)


def test_no_claim_compares_correlations_over_different_steps():
    """On separable labels the full SG alone ends its early steps, at a loss of 1e-3."""
    judged = {claim.id for claim in CLAIMS if claim.tolerance and claim.experiment == "fig9"}
    assert judged == {f"fig9-{other}-random-{loss}" for other in ("activations", "labels") for loss in ("mse", "log")}


def test_a_bound_that_came_from_a_judged_run_judges_nothing():
    """The bound of fig2-early was from seed 0 of its first panel. Backprop at two rates differs as much as fig3 asked of SG."""
    reported = {claim.id for claim in CLAIMS if not claim.tolerance}
    assert "fig3-sg-different" in reported
    assert {f"fig2-early-{labels}-{loss}" for labels in ("linear", "random") for loss in ("mse", "log")} <= reported


def test_a_data_set_that_is_missing_is_no_success():
    runs = as_the_paper_says()
    del runs["linear100"]
    claim = next(claim for claim in CLAIMS if claim.id == "table2-shallow-log-linear100")
    assert judge(claim, [runs] * 5, "full", "mnist")["verdict"] == "not run yet"


def test_a_diverged_layer_is_not_passed_over():
    rsa = list(MIDDLE)
    rsa[2] = math.nan
    runs = as_the_paper_says() | {"sg-mid-relu-10": network(rsa)}
    different = next(claim for claim in CLAIMS if claim.id == "fig3-sg-different")
    assert math.isnan(different.measure(runs))
    assert first_static([0.5, math.nan, 0.99, 1.0]) == 3


def test_a_layer_that_falls_back_is_not_static_yet():
    assert first_static([0.96, 0.9, 0.97, 1.0]) == 3
    assert first_static([0.96, 0.97, 1.0]) == 1


def test_every_claim_has_a_name_of_its_own_and_every_experiment_a_claim():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(EXPERIMENTS)


def test_claims_about_images_are_not_judged_on_stand_ins_and_others_are():
    by_id = {claim.id: judge(claim, [as_the_paper_says()], "full", "digits (stand-in)")["verdict"] for claim in CLAIMS}
    assert by_id["fig4-relu-train"] == by_id["fig8-input"] == "reported"
    assert by_id["table1-sg"] == by_id["fig9-labels-random-log"] == "reproduced"


def test_how_far_one_sg_is_ahead_is_asked_of_the_deepest_network():
    runs = {
        "bp-relu-3": {"train/accuracy": 99.0},
        "sg-mid-relu-3": {"train/accuracy": 98.0},
        "bp-relu-50": {"train/accuracy": 80.0},
        "sg-mid-relu-50": {"train/accuracy": 91.0},
    }
    ahead = next(claim for claim in CLAIMS if claim.id == "fig4-relu-ahead")
    assert ahead.measure(runs) == 11.0
