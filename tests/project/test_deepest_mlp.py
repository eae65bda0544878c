"""What the example of the deepest MLP prints is what its documentation says."""

import re
import sys

import pytest

from tests.commands import ROOT, run


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_the_deepest_mlp_is_deeper_with_checkpoints_and_far_deeper_under_lafs():
    """The claim that a reader would check first."""
    alone = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = run("examples/deepest_mlp.py", "--megabytes", 10, env=alone, check=True)
    layers = {name: int(number) for name, number in re.findall(r"(\w+): (\d+) layers in 10 MB", ran.stdout)}
    assert layers["backprop"] < layers["checkpointing"] < layers["lafs"]
    assert layers["lafs"] > 5 * layers["backprop"]
