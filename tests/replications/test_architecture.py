"""Oracle: the order of the rooms of replications; `python -m tests.replications.test_architecture` counts rooms and arrows."""

import ast
from pathlib import Path

import pytest

import replications

ROOT = Path(replications.__file__).parent
ORDER = (
    "errors",
    "data",
    "judging",
    "measuring",
    "experiment",
    "reporting",
    "papers",
    "faults",
    "running",
    "cli",
    "__main__",
)
FILES = sorted(file for file in ROOT.rglob("*.py") if file != ROOT / "__init__.py")


def module(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__").replace("/", ".")


def room(name: str) -> str:
    """Each paper is a room of its own, "papers.gilmer2017"; other rooms are the first level of replications."""
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] == "papers" else 1])


def imports(path: Path, modules: set[str]) -> set[str]:
    """The modules of replications that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("replications.") in modules else str(node.module) for name in inside]
        found |= {name.removeprefix("replications.") for name in names if name.startswith("replications.")}
    return found


def arrows_of(files: list[Path]) -> set[tuple[str, str]]:
    """(room, room that it imports), without those within a room."""
    modules = {module(file) for file in files}
    pairs = {(room(module(file)), room(name)) for file in files for name in imports(file, modules)}
    return {(here, there) for here, there in pairs if here != there}


def wrong(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that go up the order, and those between papers."""
    place = {name: number for number, name in enumerate(ORDER)}
    return {(a, b) for a, b in arrows if place[a.split(".")[0]] <= place[b.split(".")[0]]}


def test_every_room_is_in_the_order():
    """A room outside of the order would be outside of the tests below."""
    assert {room(module(file)).split(".")[0] for file in FILES} <= set(ORDER)


def test_imports_follow_the_order_and_no_paper_imports_another():
    """A verdict that needs the Trainer cannot be judged again from a file; a paper that another reads cannot stay frozen."""
    assert wrong(arrows_of(FILES)) == set()


@pytest.mark.parametrize(
    ("file", "line", "arrow"),
    [
        ("judging/claims.py", "from replications.experiment import session", ("judging", "experiment")),
        ("experiment/run.py", "    import replications.cli", ("experiment", "cli")),
        ("papers/a1999/runs.py", "from replications.papers.b2000 import runs", ("papers.a1999", "papers.b2000")),
    ],
)
def test_an_arrow_that_goes_up_is_seen(tmp_path, monkeypatch, file, line, arrow):
    """The test above must be able to fail, whichever way the import is written."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    for name in (file, "papers/b2000/runs.py", "experiment/session.py", "cli.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / file).write_text(f"def late():\n    {line.strip()}\n")
    assert wrong(arrows_of(sorted(tmp_path.rglob("*.py")))) == {arrow}


def test_no_file_is_part_of_a_circle():
    """Two files that import each other are one idea in two places, and one of them hides it under TYPE_CHECKING."""
    modules = {module(file) for file in FILES}
    below = {module(file): imports(file, modules) for file in FILES}
    while free := {name for name, needs in below.items() if not needs & below.keys()}:
        below = {name: needs for name, needs in below.items() if name not in free}
    assert set(below) == set()


if __name__ == "__main__":
    found = arrows_of(FILES)
    print(
        f"{len({room(module(file)) for file in FILES} - {'papers'})} rooms, {len(found)} arrows, {len(wrong(found))} back up"
    )
