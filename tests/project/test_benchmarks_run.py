"""The commands that measure still run; what they measure decides no test."""

import pytest

from tests.commands import ROOT, run

pytest.importorskip("matplotlib")
pytest.importorskip("rich")
pytest.importorskip("torchvision")


@pytest.mark.parametrize("module", ["benchmarks", "benchmarks.pipeline"])
def test_every_way_runs_as_small_as_it_can_be_and_nothing_is_written(module):
    """A command that fails after five idle minutes is found when the machine is needed."""
    before = {path: path.read_bytes() for path in (ROOT / "benchmarks" / "results").iterdir()}
    done = run("-m", module, "--smoke", timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "failed" not in done.stdout
    assert {path: path.read_bytes() for path in (ROOT / "benchmarks" / "results").iterdir()} == before
