"""Pages about time say what was measured, and what is predicted follows from it."""

import json

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")

from benchmarks import saves
from benchmarks.pipeline import page as pipelines
from benchmarks.pipeline.prediction import overhead, predicted, two, typical
from benchmarks.time import page as times
from benchmarks.time.growth import exponent
from benchmarks.time.interleave import ratios


@pytest.mark.parametrize("page", [pipelines, times, saves], ids=["parallel.md", "speed.md", "README.md"])
def test_no_page_is_stale(page):
    """After a measurement run `python -m benchmarks --page`, `... benchmarks.pipeline --page`, `... benchmarks.saves`."""
    assert page.update(check=True)


def test_what_a_rule_saves_is_a_share_of_backprops():
    """Time and memory as shares, throughput as the inverse; what nobody measured is a dash."""
    time = {"groups": [{"title": saves.NET, "ways": {"dfa": {"ratio": 0.76}}}]}
    memory = {"bytes": {"bp": {"50": {"saved": 200}}, "lafs": {"50": {"saved": 4}}}}
    ways = {
        "backprop, one process": {"seconds": 3.0},
        "lafs_pipeline": {"seconds": 2.0},
        "backprop, DDP": {"error": "no"},
    }
    rows = saves.render(time, memory, {"tasks": {saves.TASK: {"ways": ways}}}).splitlines()
    assert "| `dfa` | 0.76 | - | - |" in rows
    assert "| `lafs` | - | 0.02 | 1.50 (`lafs_pipeline`) |" in rows
    assert "| `bp` | - | 1.00 | - |" in rows


COSTS = {"delay": 0.0} | {
    m: {"f0": 3, "f1": 3, "b0": 6, "b1": 6, "u0": 1, "u1": 1, "lafs": 14, "dfa": 10} for m in "14"
}


def test_predictions_follow_from_costs():
    """f = 3, b = 6, u = 1 for each of two stages; lafs takes 14, so that a stage learns for 4; dfa for 2."""
    assert predicted(COSTS, "backprop, GPipe, 4 microbatches", 5.0) == (4 + 1) * 9 + 1
    assert predicted(COSTS, "backprop, 1F1B, 4 microbatches", 5.0) == (4 + 1) * 9 + 1
    assert predicted(COSTS, "lafs_pipeline", 5.0) == 3 + 4 + 1 + 5
    assert predicted(COSTS, "dfa_pipeline, 4 microbatches", 5.0) == (4 + 1) * 3 + 4 * 2 + 1 + 5
    assert predicted(COSTS, "backprop, DDP", 5.0) is None
    assert overhead(COSTS, 20) == 4
    assert two(COSTS, 1, None)[0] == (3, 0, 6, 1)
    assert typical(COSTS) == (3, 4, 2, 1)


def test_a_way_that_failed_stays_in_the_table():
    """A table without it would look complete."""
    found = {"seconds": 2.0, "idle": 0.5, "up": 1e6, "down": 0.0}
    task = {"ways": {pipelines.ONE: found, "backprop, DDP": {"error": "no"}, "lafs_pipeline": found}, "costs": COSTS}
    rows = pipelines.table(task).splitlines()[2:]
    assert rows[0] == f"| {pipelines.ONE} | 2000.0 | 1.00 | 50 % | 1.000 | 0.000 |  |"
    assert "failed" in rows[1]
    assert rows[2].endswith("| 4.00 |")  # predicted 8 s
    group = {"title": "net", "error": "ValueError"}
    assert "failed: ValueError" in times.table([group])


def test_ratios_are_of_the_same_round_and_exponents_of_powers():
    """The median of ratios, where a round of a busy machine is slow for both."""
    found = ratios({"base": [1.0, 10.0, 1.0], "way": [2.0, 20.0, 3.0]}, "base")["way"]
    assert (found.ratio, found.low, found.high, found.seconds) == (2.0, 2.0, 3.0, 3.0)
    assert exponent({str(n): 5.0 * n**1.5 for n in (1, 10, 100, 1000)}) == pytest.approx(1.5)
    assert exponent({"1": 9.0, "2": 9.0, "4": 9.0, "8": 18.0}) == pytest.approx(1.0)


def test_what_is_on_disk_can_be_read():
    """Results name the machine and the commit."""
    for page in (pipelines, times):
        if page.RESULTS.exists():
            assert {"device", "commit"} <= json.loads(page.RESULTS.read_text())["machine"].keys()
