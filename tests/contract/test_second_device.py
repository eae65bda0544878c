"""On a device that is not the CPU every rule trains bit for bit as on the CPU; no GPU is needed to see it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

import lightning_fa as fa
from tests.second_device_jobs import PROBLEMS

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch has no backends in Python",
)


@pytest.fixture(scope="module", params=[(), ("--without-float64",)], ids=["with float64", "without float64"])
def found(request) -> dict[str, str]:
    """Case -> what went wrong, or nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.second_device_jobs", *request.param],
        cwd=Path(fa.__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_rule_is_bit_for_bit_the_same_on_a_second_device(found):
    """A tensor left on the CPU ends a user's run on the first GPU; another order of sums changes the experiment."""
    wrong = {case: error for case, error in found.items() if error}
    assert not wrong, "\n".join(f"{case}: {error}" for case, error in wrong.items())
    assert len(found) >= len(fa.RULES) * len(PROBLEMS)
