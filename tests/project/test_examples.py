"""Every example runs as it stands, made small, and does what it says."""

import ast
import importlib.util
import json
import sys
from pathlib import Path

import pytest
from lightning.pytorch.strategies import StrategyRegistry

import lightning_fa as fa

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[2] / "examples"
CHANCE = 0.1
pytestmark = [
    pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"),
]


@pytest.fixture
def example(monkeypatch, tmp_path):
    """The example of that name; what it writes goes to a folder of the test's, what it registers is taken back."""
    monkeypatch.chdir(tmp_path)
    before, strategies = dict(fa.RULES), dict(StrategyRegistry)

    def load(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    yield load
    fa.RULES.clear()
    fa.RULES.update(before)
    StrategyRegistry.clear()
    StrategyRegistry.update(strategies)


def test_a_module_of_ones_own_learns_and_its_checkpoint_loads_into_the_plain_module(example):
    assert example("own_module").main(epochs=3) > 5 * CHANCE


def test_the_command_line_takes_the_rule_from_the_yaml_and_from_an_option(example, monkeypatch):
    """`--trainer.strategy lafs` that left the file's rule in place would train by another rule than asked."""
    pytest.importorskip("jsonargparse")
    short = ["cli.py", "fit", "--config", str(FOLDER / "cli.yaml"), "--trainer.max_epochs=1", "--trainer.logger=false"]
    main = example("cli").main
    monkeypatch.setattr(sys, "argv", short)
    assert main().trainer.strategy.rule == fa.DirectFeedbackAlignment(seed=1, init="orthogonal")
    monkeypatch.setattr(sys, "argv", [*short, "--trainer.strategy=lafs"])
    assert main().trainer.strategy.rule == fa.LinearAlignedFeedback()


def test_a_resnet_trains_under_both_choices_of_blocks(example):
    pytest.importorskip("torchvision")
    module = example("resnet_by_blocks")
    assert module.main(epochs=1, samples=50).keys() == module.CHOICES.keys()


def test_compared_rules_differ_from_backpropagation_below_the_head_and_not_at_it(example):
    """An angle of 0 below the head would be backpropagation left on; one at the head, a faulty measurement."""
    found = example("compare_rules").main(epochs=2)
    for rule, numbers in found.items():
        assert numbers["accuracy"] > CHANCE, rule
        assert numbers["align/net.0/update_angle"] > 1, rule
        assert numbers["align/net.4/update_angle"] < 0.1, rule
    assert all(Path(f"runs/compare_rules/{rule}.svg").is_file() for rule in found)


def test_what_is_frozen_stays_and_the_rest_learns(example):
    found = example("fine_tuning").main(epochs=3)
    assert found["change of the frozen weights"] == 0
    assert found["test/accuracy"] > 4 * CHANCE  # twice that of chance among five classes


def test_a_sequence_model_learns(example):
    assert example("sequence").main("dfa", epochs=3) > 2 * CHANCE


def test_a_spiking_network_learns(example):
    assert example("spiking").main("dfa", epochs=2) > 3 * CHANCE


def test_fabrics_loop_learns_and_its_checkpoint_goes_on(example):
    assert example("fabric").main(epochs=3) > 5 * CHANCE


def test_a_rule_of_ones_own_learns_under_its_name(example):
    assert example("own_rule").main(epochs=3) > 5 * CHANCE


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_begins_with_its_question(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert "?" in ast.get_docstring(ast.parse(text)).splitlines()[0]


def cells():
    return json.loads((FOLDER / "feedback_alignment.ipynb").read_text(encoding="utf-8"))["cells"]


def test_the_notebook_runs_and_what_its_text_says_is_so():
    """A text that promises alignment above a curve without one would teach the wrong thing."""
    space, pictures = {}, 0
    for cell in cells():
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "notebook", "exec"), space)
        shown = eval(compile(ast.Expression(last.value), "notebook", "eval"), space) if last else None
        pictures += getattr(shown, "_repr_png_", bytes)().startswith(b"\x89PNG")
        if isinstance(shown, dict) and "same output" in shown:
            assert list(shown.values()) == [True, True, False]
    assert pictures == 2
    weights, updates = space["weights"], space["updates"]
    assert all(80 < angle < 100 for angle in weights[0].values())
    assert weights[400]["4"] < weights[0]["4"] - 20
    assert updates[400]["2.weight"] < updates[0]["2.weight"] - 20
    assert space["results"]["fa"] > space["results"]["shallow"]


def test_the_notebook_is_committed_with_its_pictures():
    assert 15 <= len(cells()) <= 22
    outputs = [output for cell in cells() for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not any(output["output_type"] in ("error", "stream") for output in outputs)
