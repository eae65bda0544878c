"""Global state, and the two tiers: `pytest` runs the fast one, `pytest -m slow` the other, `pytest -m ""` both."""

import gc
import io
import logging
from pathlib import Path

import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

from tests import quick as quick

SLOW = (
    "callbacks/test_compiled.py",
    "callbacks/test_ranks.py",
    "contract/test_compile.py",
    "distributed/test_callbacks_sharded.py",
    "distributed/test_checkpoints.py",
    "distributed/test_memory.py",
    "distributed/test_nodes.py",
    "distributed/test_pipeline.py",
    "distributed/test_pipeline_runs.py",
    "distributed/test_ranks.py",
    "distributed/test_starts.py",
    "distributed/test_tensor_parallel.py",
    "distributed/test_traffic.py",
    "networks/test_real_nets_direct.py",
    "networks/test_real_nets_transport.py",
    "project/test_benchmarks_run.py",
    "project/test_contributing.py",
    "project/test_deepest_mlp.py",
    "project/test_examples.py",
    "replications/test_czarnecki2017_smoke.py",
    "replications/test_interrupted.py",
    "replications/test_launay2019_smoke.py",
    "replications/test_lillicrap2014_smoke.py",
    "replications/test_report.py",
    "replications/test_smoke.py",
    "trainer/test_trainer_features.py",
    "trainer/test_wandb.py",
    "trainer/test_wandb_online.py",
)
"""Files that compile, start processes or train whole papers: a quarter of the tests and most of the minutes."""

ONCE = ("project/test_contributing.py", "replications/test_report.py", "trainer/test_wandb.py")
"""Files beside those of ``distributed`` whose fixtures take seconds: one worker runs all of a file's tests."""

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.relative_to(HERE).as_posix() in SLOW:
            item.add_marker(pytest.mark.slow)


def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadgroup` what the fixtures of a file launch is launched once.

    The marker `xdist_group` does nothing since pytest 9.2, where pytest-xdist 3.8 writes the group's name to a field that
    nobody reads.
    """
    return ByFixture(config, log) if config.getoption("dist") == "loadgroup" else None


class ByFixture(LoadScopeScheduling):
    """One worker runs all tests of a file whose fixtures take seconds; all other tests go where there is time."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return file if file.removeprefix("tests/").startswith(("distributed/", *ONCE)) else nodeid


@pytest.fixture(autouse=True)
def _known_global_state():
    """Every test starts from the same global RNG, and leaves the settings of torch as they were."""
    torch.manual_seed(0)
    dtype = torch.get_default_dtype()
    yield
    torch.set_default_dtype(dtype)


@pytest.fixture
def logged():
    """What the library logs. pytest's own plugin for this adds and removes a hundred handlers around every test."""
    text, log = io.StringIO(), logging.getLogger("lightning_fa")
    handler = logging.StreamHandler(text)
    log.addHandler(handler)
    yield text
    log.removeHandler(handler)


def pytest_configure(config):
    torch.set_num_threads(1)


def pytest_collection_finish():
    """What has been imported stays: a garbage collection that looks at all of it takes half a second, and some tests make ten."""
    gc.freeze()
