"""Generated tables in the README say what the result files say."""

import pytest

pytest.importorskip("rich")

from benchmarks import learning


def test_the_table_of_rules_is_not_stale():
    """Run `python -m benchmarks.learning --table` after measurements or rules change."""
    assert learning.table(check=True)


def test_the_control_turned_by_no_angle_and_the_others_by_some():
    """An angle of zero for another rule would be backprop left on; of the control, a faulty measurement."""
    measured = learning.json.loads(learning.RESULTS.read_text())["rules"]
    for rule, found in measured.items():
        for per_seed in found["angles"]:
            for angle in per_seed:
                assert angle is None or (angle < 0.1 if rule == "bp" else angle > 5), rule
