"""What the example of the deepest MLP prints is what its documentation says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_the_deepest_mlp_is_deeper_with_checkpoints_and_far_deeper_under_lafs():
    """The claim that a reader would check first."""
    ran = subprocess.run(
        [sys.executable, "examples/deepest_mlp.py", "--megabytes", "24"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    layers = {name: int(number) for name, number in re.findall(r"(\w+): (\d+) layers in 24 MB", ran.stdout)}
    assert layers["backprop"] < layers["checkpointing"] < layers["lafs"]
    assert layers["lafs"] > 5 * layers["backprop"]
