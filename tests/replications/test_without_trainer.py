"""Oracle: runs that are computed at once are recorded, logged and resumed as if each had been alone."""

import math
from dataclasses import replace

import pytest
import torch

from replications.experiment.results import read
from replications.experiment.session import conclude
from replications.experiment.without_trainer import log_file, read_seeds, seed_log
from replications.judging.claims import judge
from replications.judging.statistics import p_value
from tests.replications.test_claims import a_claim
from tests.replications.test_results import a_session, runs


def metrics_of(group):
    return [{"value": 12.0 + run.seed} for run in group]


def test_every_seed_of_a_group_has_a_record_and_a_share_of_the_time(tmp_path):
    session = a_session(tmp_path)
    session.loop.finish_together([runs(2)], metrics_of)
    conclude(session)
    content = read(tmp_path / "results.json")
    assert [(run["seed"], run["metrics"]) for run in content["runs"]] == [(0, {"value": 12.0}), (1, {"value": 13.0})]
    assert content["claims"][0]["value"] == 12.5


def test_a_finished_group_is_not_repeated_and_more_seeds_only_add_records(tmp_path):
    a_session(tmp_path).loop.finish_together([runs(2)], metrics_of)
    a_session(tmp_path).loop.finish_together([runs(2)], lambda group: pytest.fail("repeated"))
    session = a_session(tmp_path, seeds=3)
    session.loop.finish_together([runs(3)], metrics_of)
    assert [run["seed"] for run in read(tmp_path / "results.json")["runs"]] == [0, 1, 2]
    assert len(session.loop.records) == 3


def test_the_log_of_a_group_is_read_back_by_seed(tmp_path):
    session, group = a_session(tmp_path), runs(2)
    with seed_log(session, group) as log:
        for step in range(3):
            log(step, {"nse": torch.tensor([step, 10.0 + step]), "angle": torch.tensor([1.0, 2.0])})
    assert log_file(session, group).is_file()
    first, second = read_seeds(session, group)
    assert second["nse"] == {0: 10.0, 1: 11.0, 2: 12.0}
    assert first == {"nse": {0: 0.0, 1: 1.0, 2: 2.0}, "angle": {0: 1.0, 1: 1.0, 2: 1.0}}


def test_one_experiment_after_another_completes_one_file(tmp_path):
    for experiment in ("fig1", "fig2"):
        session = a_session(tmp_path)
        session = replace(session, experiments=(experiment,))
        session.loop.finish_together([runs(2)], metrics_of)
        conclude(session)
    assert [claim["id"] for claim in read(tmp_path / "results.json")["claims"]] == [a_claim().id, "other"]


@pytest.mark.parametrize("values", [[0.3, 0.1, 0.4], [-0.1, 0.2, 0.3, 0.05], [1.0, 1.1], [0.2] * 3 + [0.3] * 17])
def test_the_p_value_is_scipys(values):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert p_value(values) == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_a_t_test_is_about_the_mean_and_lets_single_seeds_be_on_the_other_side():
    values = [-0.1, 1.0, 1.2, 0.8, 1.1, 0.9, 1.0, 1.3]
    claim = a_claim(tolerance=(0, 5), over_seeds="t-test", measure=lambda runs: runs["x"]["v"])
    record = judge(claim, [{"x": {"v": value}} for value in values], "full", "mnist")
    assert p_value(values) < 0.001
    assert record["verdict"] == "reproduced"


def test_a_t_test_is_undecided_about_a_mean_that_is_positive_by_chance():
    claim = a_claim(tolerance=(0, 5), over_seeds="t-test", measure=lambda runs: runs["x"]["v"])

    def verdict(*values):
        return judge(claim, [{"x": {"v": value}} for value in values], "quick", claim.datasets[0])["verdict"]

    assert verdict(1.0, 1.1, 0.9, 1.0) == "reproduced"
    assert verdict(1.0, -0.9, 2.0, -1.5) == "undecided"
    assert verdict(1.0) == "undecided"
    assert verdict(-1.0, -1.1, -0.9, -1.0) == "failed"
    assert verdict(6.0, 6.1, 5.9, 6.0) == "failed"
    assert math.isnan(p_value([1.0]))


def test_a_claim_without_randomness_is_judged_on_one_seed(tmp_path):
    session = a_session(tmp_path, seeds=3)
    session.loop.finish_together([runs(1)], metrics_of)
    object.__setattr__(session.paper.claims[0], "seeds", 1)
    conclude(session)
    assert read(tmp_path / "results.json")["claims"][0]["n"] == 1


def test_what_is_missing_to_the_preset_is_in_the_results_as_a_command(tmp_path):
    session = a_session(tmp_path)
    session.paper.seeds["quick"] = 2  # type: ignore[index]
    session.loop.finish_together([runs(2)], metrics_of)
    conclude(session)
    rest = read(tmp_path / "results.json")["environment"]["rest"]
    assert rest == "python -m replications toy2000/fig2 --preset quick --seeds 2"
    session = replace(session, experiments=("fig1", "fig2"))
    conclude(session)
    assert read(tmp_path / "results.json")["environment"]["rest"] is None


def rest_after(out, **seeds):
    """What is missing after each experiment was run with so many seeds, where the preset has 3."""
    out.mkdir()
    for experiment, count in seeds.items():
        session = a_session(out, seeds=count)
        session.paper.seeds["quick"] = 3  # type: ignore[index]
        session = replace(session, experiments=(experiment,))
        session.loop.finish_together([runs(count)], metrics_of)
        conclude(session)
    return read(out / "results.json")["environment"]["rest"]


def test_only_experiments_that_are_short_of_seeds_are_missing(tmp_path):
    """The other way round hours are repeated, or a mean of 2 seeds passes for one of 3."""
    fewer = "python -m replications toy2000/{} --preset quick --seeds 3"
    assert rest_after(tmp_path / "a", fig1=2, fig2=3) == fewer.format("fig1")
    assert rest_after(tmp_path / "b", fig1=3, fig2=2) == fewer.format("fig2")
    assert rest_after(tmp_path / "c", fig1=1, fig2=2) == fewer.format("fig1,fig2")
    assert rest_after(tmp_path / "d", fig1=3, fig2=3) is None
    assert rest_after(tmp_path / "e", fig1=4, fig2=3) is None


def test_what_is_missing_is_not_asked_for_with_more_seeds_than_its_claims_are_about(tmp_path):
    session = a_session(tmp_path, seeds=3)
    session.paper.seeds["quick"] = 3  # type: ignore[index]
    object.__setattr__(session.paper.claims[1], "seeds", 1)
    session.loop.finish_together([runs(3)], metrics_of)
    conclude(session)
    rest = read(tmp_path / "results.json")["environment"]["rest"]
    assert rest == "python -m replications toy2000/fig2 --preset quick --seeds 1"
