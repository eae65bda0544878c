"""How simple the core is: composition, few attributes, one place that knows families. Counted from the source."""

import ast
import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

import lightning_fa as fa

ROOT = Path(fa.__file__).parent
FAMILIES = {"TransportRule", "DirectRule", "LocalRule", "SyntheticRule", "Backpropagation"}
WIRINGS = {"CutWiring", "TransportWiring"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


CLASSES = {
    node.name: node
    for path in (*(ROOT / "wiring").rglob("*.py"), ROOT / "surgery.py")
    for node in tree(path).body
    if isinstance(node, ast.ClassDef)
}
assert len(CLASSES) > 30


def bases(name: str) -> list[str]:
    """All classes of ours that a class derives from."""
    direct = [base.id for base in CLASSES[name].bases if isinstance(base, ast.Name) and base.id in CLASSES]
    return [*direct, *(far for near in direct for far in bases(near))]


def bodies(name: str) -> set[str]:
    """Methods that a class implements; a docstring alone is none."""
    found = [node for node in CLASSES[name].body if isinstance(node, ast.FunctionDef)]
    return {
        f.name
        for f in found
        if any(not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in f.body)
    }


def attributes(name: str) -> set[str]:
    """What an object holds: what is assigned to ``self``, and the fields of records; inherited ones too."""
    found = set()
    for cls in map(CLASSES.__getitem__, (name, *bases(name))):
        found |= {
            node.attr
            for node in ast.walk(cls)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
        }
        if any("dataclass" in ast.unparse(d) for d in cls.decorator_list) or "NamedTuple" in map(
            ast.unparse, cls.bases
        ):
            found |= {ast.unparse(node.target) for node in cls.body if isinstance(node, ast.AnnAssign)}
    return found


@pytest.mark.parametrize("name", CLASSES)
def test_no_body_is_overridden_in_the_wiring(name):
    """What a call does must stand in one place: a forward pass once went through four classes."""
    inherited = {method for base in bases(name) for method in bodies(base)} - {"__init__"}
    assert bodies(name) & inherited == set()


@pytest.mark.parametrize("name", CLASSES)
def test_an_object_of_the_wiring_has_at_most_eight_attributes(name):
    """Thirty-five could not be held in mind, and which of them belong together was nowhere said."""
    assert len(attributes(name)) <= 8, attributes(name)


def test_the_counts_see_what_they_count():
    """A test that reads source passes as well where it reads nothing."""
    assert attributes("Step") >= {"targets", "terms", "rehearsing"}
    assert bases("Bounded") == ["Behaviour"]
    assert bodies("Bounded") == {"forward"}
    assert "store" in attributes("BlockFeedback")


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_one_place_knows_families(path):
    """A second place that asks for a rule's class forgets the next family, or a rule of a user's own."""
    asked = {
        name
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass")
        for name in re.findall(r"\w+", ast.unparse(node.args[1]))
    }
    found = asked & (FAMILIES | WIRINGS)
    assert not found or path.name == "families.py"


@pytest.mark.parametrize("path", sorted((ROOT / "callbacks").glob("*.py")), ids=lambda path: path.name)
def test_callbacks_read_public_members_of_the_rule_only(path):
    """A monitor that reaches into the wiring measures something else after the next change to it, without an error."""
    private = {
        node.attr
        for node in ast.walk(tree(ROOT / "attached.py"))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and ast.unparse(node.value) == "self"
    }
    assert "_wiring" in private
    used = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    assert used & (private | {"_feedback_port"}) == set()


def test_the_reading_path_is_as_long_as_it_says():
    """Whoever is told of twenty minutes, and reads for two hours, does not come back."""
    text = (ROOT.parent / "docs" / "how_it_works.md").read_text()
    path = re.findall(r"^\d+\. \[`(\S+)`\]", text, re.MULTILINE)
    lines = sum(len((ROOT / file).read_text().splitlines()) for file in path)
    assert len(path) == 8
    stated = int(re.search(r"at most (\d+) lines in all", text).group(1))
    assert stated - 100 < lines <= stated <= 900


def test_a_step_of_direct_feedback_alignment_changes_the_file_at_most_forty_times():
    """Every change is a jump of whoever follows a step with a finger. There were 54 before it was counted."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    x, y = torch.randn(2, 4), torch.tensor([0, 1])
    attached, files = fa.attach(net, "dfa", example=x), []

    def step() -> None:
        attached.targets = y
        attached.loss(nn.functional.cross_entropy(net(x), y)).backward()

    def note(frame, event, _) -> None:
        if event == "call" and Path(frame.f_code.co_filename).is_relative_to(ROOT):
            files.append(frame.f_code.co_filename)

    for _ in range(2):  # later steps are alike
        step()
    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(None)
    assert len(set(files)) > 10
    assert sum(a != b for a, b in pairwise([None, *files])) <= 40
