"""Every example runs as it stands, small, and learns more than chance."""

import importlib.util
import sys
from pathlib import Path

import pytest
from lightning.pytorch.strategies import StrategyRegistry

import lightning_fa as fa

pytest.importorskip("sklearn")
pytest.importorskip("torchvision")
pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[1] / "examples"
SMALL = {
    "compare_rules": {"epochs": 1},
    "fabric": {"epochs": 2},
    "fine_tuning": {"epochs": 2},
    "own_module": {"epochs": 2},
    "own_rule": {"epochs": 3},
    "resnet_by_blocks": {"epochs": 1, "samples": 200},
    "sequence": {"epochs": 5},
}
CHANCE = 0.1
pytestmark = [
    pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]


@pytest.fixture
def load(monkeypatch, tmp_path):
    """An example by its name. What it writes goes to a folder of the test's, and a rule that it names is taken back."""
    monkeypatch.chdir(tmp_path)
    before, strategies = dict(fa.RULES), dict(StrategyRegistry)

    def loaded(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    yield loaded
    fa.RULES.clear()
    fa.RULES.update(before)
    StrategyRegistry.clear()
    StrategyRegistry.update(strategies)


@pytest.mark.parametrize("name", SMALL)
def test_an_example_trains(name, load):
    """An example that does not run is the first thing a newcomer sees."""
    result = load(name).main(**SMALL[name])
    if isinstance(result, float):
        assert result > 1.5 * CHANCE


def test_every_example_is_run_here_and_short():
    """House rule: one question, one file, 80 lines."""
    files = {path.stem: path for path in FOLDER.glob("*.py")}
    assert files.keys() == SMALL.keys() | {"cli"}
    assert all(len(path.read_text().splitlines()) <= 80 for path in files.values())
