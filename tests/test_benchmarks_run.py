"""The commands that measure still run; what they measure decides no test."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("rich")
pytest.importorskip("torchvision")

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("module", ["benchmarks", "benchmarks.pipeline"])
def test_every_way_runs_as_small_as_it_can_be_and_nothing_is_written(module):
    """A command that fails after five idle minutes is found when the machine is needed."""
    before = {path: path.read_bytes() for path in (ROOT / "benchmarks" / "results").iterdir()}
    command = [sys.executable, "-m", module, "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "failed" not in done.stdout
    assert {path: path.read_bytes() for path in (ROOT / "benchmarks" / "results").iterdir()} == before
