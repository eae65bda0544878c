"""The arrow between the parts runs one way, and the core depends on three libraries alone."""

import ast
import dataclasses
import inspect
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lightning_fa as fa
from tests.conftest import HERE, SLOW

ROOT = Path(fa.__file__).parent
ORDER = (
    *(
        "wrappers",
        "surgery",
        "ops",
        "sharding",
        "stream",
        "feedback",
        "labels",
        "rules",
        "wiring",
        "table",
        "undisturbed",
        "rehearsal",
        "optimizers",
        "late_layers",
        "attached",
        "attach",
    ),
    *(
        "prealignment",
        "training_step",
        "mixin",
        "pipeline",
        "strategies",
        "metrics",
        "figures",
        "callbacks",
    ),
    *("batch_loss", "checked", "checking"),
)
FILES = sorted(ROOT.rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


@pytest.mark.parametrize("path", [f for f in FILES if part(f) != "__init__"], ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_follow_the_arrow(path):
    """A rule that knows the trainer, or an op that knows a rule, cannot be tested or reused without it."""
    own = {name.split(".")[1] for name in imports(path) if name.startswith("lightning_fa.")}
    assert own <= set(ORDER[: ORDER.index(part(path)) + 1])
    assert not any(name.startswith((".", "replications", "tests")) for name in imports(path))


def test_every_part_is_in_the_order():
    """A new part outside of the order would be outside of the test above."""
    assert {part(f) for f in FILES} <= {"__init__", *ORDER}


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def needs(path: Path, modules: set[str]) -> set[str]:
    """The ``modules`` that a file takes names from. ``from package import module`` takes the module."""
    found = set(imports(path))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner
            if inner <= modules:
                found.discard(node.module)
    return found & modules


@pytest.mark.parametrize("root", [ROOT, ROOT.parent / "replications"], ids=lambda root: root.name)
def test_no_files_import_each_other(root):
    """Two files that need each other are one file in two places, also where only a type is needed."""
    paths = {module(path): path for path in sorted(root.rglob("*.py"))}
    arrows = {name: needs(path, paths.keys()) - {name} for name, path in paths.items()}
    assert sum(map(len, arrows.values())) > 100
    TopologicalSorter(arrows).prepare()  # raises CycleError


@pytest.mark.parametrize("rule", fa.RULES.values(), ids=fa.RULES)
def test_rules_are_final_frozen_and_of_plain_settings(rule):
    """A rule that inherits from another, or changes while it trains, is not what its name and its checkpoint say."""
    assert rule.__final__
    assert inspect.isabstract(rule.__base__)
    assert rule.__base__.__module__ == "lightning_fa.rules.base"
    assert rule.__dataclass_params__.frozen
    assert rule() == rule()
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule().seed = 1
    assert all(isinstance(value, (str, int, float, bool, list, type(None))) for value in rule().config().values())
    assert rule().config()["rule"] == rule.__name__


def test_every_registered_rule_is_exported():
    """A rule that can be named, and not constructed with settings, is of half the use."""
    for rule in (fa.RULES | fa.PAIR_RULES).values():
        assert getattr(fa, rule.__name__) is rule


def test_no_file_is_exported_under_its_own_name_by_a_star():
    """`from lightning_fa import *` must not hand out what happens to be a file of the rules."""
    assert not {path.stem for path in (ROOT / "rules").glob("*.py")} & vars(fa).keys()


def test_importing_the_library_imports_no_extra():
    """A server without plotting or tracking libraries must be able to train."""
    extras = [
        "torchvision",
        "wandb",
        "matplotlib",
        "sklearn",
        "scipy",
        "rich",
        "jsonargparse",
        "replications",
        "pandas",
    ]
    code = f"""
import sys, lightning.pytorch, torchmetrics  # they import some extras themselves where these are installed
before = set(sys.modules)
for name in set({extras}) - before: sys.modules[name] = None  # importing it raises
import lightning_fa
print(sorted(lightning_fa.RULES))
print(sorted(name for name in set(sys.modules) - before if sys.modules[name] and name.split(".")[0] in {extras}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.stdout.splitlines() == [str(sorted(fa.RULES)), "[]"], done.stderr


def test_every_slow_file_exists():
    """A file that was renamed would come back into the fast tier without a word."""
    assert [name for name in SLOW if not (HERE / name).is_file()] == []
