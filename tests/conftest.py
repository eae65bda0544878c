import pytest
import torch


@pytest.fixture(autouse=True)
def _known_global_state():
    """Every test starts from the same global RNG, and leaves the settings of torch as they were."""
    torch.manual_seed(0)
    dtype = torch.get_default_dtype()
    yield
    torch.set_default_dtype(dtype)


def pytest_configure(config):
    torch.set_num_threads(1)
