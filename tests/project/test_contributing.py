"""The recipe of CONTRIBUTING.md, done word for word to a copy of the project."""

import os
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from tests import commands

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PARTS = ("lightning_fa", "replications", "benchmarks", "docs", "tests", "examples")
FILES = ("README.md", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", "mkdocs.yml")


def block(title):
    """What stands under a file's name."""
    return re.search(rf'```python title="{re.escape(title)}"\n(.*?)```', TEXT, re.DOTALL).group(1)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project with the rule of the recipe in it."""
    root = tmp_path_factory.mktemp("recipe")
    for part in PARTS:
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "*.svg", "logs"))
    for file in FILES:
        shutil.copy(ROOT / file, root)
    new = "lightning_fa/rules/ternary_direct_feedback_alignment.py"
    (root / new).write_text(block(new))
    for file, above, below in (
        ("lightning_fa/rules/registry.py", "\n\nRULES: ", "\n}\n\nPAIR_RULES"),
        ("tests/oracles.py", "\n\nclass Oracle(", "\n}\n\nCONTROLS"),
    ):
        *lines, row = block(file).rstrip("\n").split("\n")
        text = (root / file).read_text()
        assert text.count(above) == text.count(below) == 1
        text = text.replace(above, "\n" + "\n".join(lines) + "\n" + above).replace(below, "\n" + row + below)
        (root / file).write_text(text)
    nav = (root / "mkdocs.yml").read_text()
    (root / "mkdocs.yml").write_text(nav.replace("rules/dfa_sign.md,", "rules/dfa_sign.md, rules/dfa_ternary.md,"))
    for command in re.search(r"```bash\n(python -m docs.pages.*?)```", TEXT, re.DOTALL).group(1).split("&&"):
        run(root, *command.split()[1:], check=True)
    return root


def run(root, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return commands.run(*arguments, cwd=root, env=environment, **options)


@pytest.fixture
def contract(pytestconfig):
    """What pytest says of a copy. It cannot rewrite the assertions of what is imported when it starts, which are not ours."""
    outer = [f"-W{filtered}" for filtered in pytestconfig.getoption("pythonwarnings") or ()]  # of old dependencies
    return partial(_contract, outer)


def _contract(outer, root, *options):
    quiet = ("-q", "-n", "0", "-p", "no:cacheprovider", *outer, "-W", "ignore::pytest.PytestAssertRewriteWarning")
    done = run(root, "-m", "pytest", *quiet, "-m", "not distributed", *options)
    return done.returncode, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_example_passes_the_whole_contract(contract, copy):
    """A recipe that nobody has followed has steps missing, and an example that breaks the contract teaches it so."""
    code, printed = contract(copy, "-k", "dfa_ternary")
    assert code == 0, printed
    assert int(re.search(r"(\d+) passed", printed).group(1)) > 80


def test_what_is_generated_for_all_rules_is_complete_with_it(contract, copy):
    """A table that lacks the new rule fails for its author, who was told of no table."""
    files = (
        "tests/project/test_docs.py",
        "tests/project/test_is_it_the_rule.py",
        "tests/project/test_tables.py",
        "tests/project/test_architecture.py",
        "tests/equations/test_oracles.py",
    )
    table = "tests/contract/test_precision.py::test_the_table_of_errors_is_that_of_all_rules"
    code, printed = contract(copy, *files, table, "-k", "not block")
    assert code == 0, printed


def test_an_example_that_breaks_the_contract_is_noticed(contract, copy):
    """Without the division by n a mean over samples in the loss loses its meaning, as it did in an older example."""
    file = copy / "lightning_fa/rules/ternary_direct_feedback_alignment.py"
    text = file.read_text()
    assert text.count(" / len(e)") == 1
    file.write_text(text.replace(" / len(e)", ""))
    try:
        code, printed = contract(copy, "-x", "-k", "dfa_ternary", "tests/contract/test_contract.py")
        assert code == 1, printed
        assert "1 failed" in printed
    finally:
        file.write_text(text)


def test_the_guide_stays_short():
    """House rule: less than 150 lines with the example."""
    assert len(TEXT.splitlines()) < 150
