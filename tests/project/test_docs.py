"""Whoever pastes code from the documentation gets what the documentation says."""

import re
from pathlib import Path

import pytest
import yaml

import lightning_fa as fa

pytest.importorskip("sklearn")

from docs.pages.__main__ import stale
from docs.pages.facts import replicated

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CI = re.compile(r"^python3 -m venv .*pytest$", re.MULTILINE)
pytestmark = [
    pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning"),
]


def run(page, folder, monkeypatch):
    """All Python blocks of a page, one after the other, as a reader pastes them; the names that they leave."""
    monkeypatch.chdir(folder)
    space = {"__name__": "pasted"}
    blocks = PYTHON.findall(page)
    assert blocks
    for number, block in enumerate(blocks):
        exec(compile(block, f"block {number}", "exec"), space)
    return space


def test_every_block_of_the_readme_runs(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    space = run(README, tmp_path, monkeypatch)
    assert isinstance(space["trainer"].strategy.attached.rule, fa.DirectFeedbackAlignment)
    angles = [value for name, value in space["monitor"].latest.items() if name.endswith("/angle")]
    assert angles
    assert all(angle > 1 for angle in angles)  # 0 would be backpropagation left on


def test_every_block_of_the_quick_start_runs(tmp_path, monkeypatch):
    space = run((ROOT / "docs" / "index.md").read_text(encoding="utf-8"), tmp_path, monkeypatch)
    assert isinstance(space["attached"].rule, fa.LinearAlignedFeedback)


def test_the_rule_that_the_docs_show_is_a_rule(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "write_a_rule.md").read_text(encoding="utf-8")
    block = next(block for block in PYTHON.findall(page) if "@dataclass" in block)
    path = tmp_path / "shown_rule.py"
    path.write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    import torch

    rule = __import__("shown_rule").HalfDirectFeedbackAlignment(seed=1)
    whole, half = (torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)) for _ in range(2))
    half.load_state_dict(whole.state_dict())
    for net, chosen in ((whole, fa.DirectFeedbackAlignment(seed=1)), (half, rule)):
        fa.attach(net, chosen)
        net(torch.eye(3)).square().sum().backward()
    torch.testing.assert_close(half[0].weight.grad, whole[0].weight.grad / 2)


def test_the_readme_is_short_and_has_the_command_that_ci_runs():
    """`.ci/run` greps the command for the tests: a README without it would test nothing."""
    rows = sum(line.startswith("| `") for line in README.splitlines())  # each rule adds one to a generated table
    assert 88 <= len(README.splitlines()) - rows <= 138
    assert len(CI.findall(README)) == 1


def test_generated_pages_are_not_stale():
    """Run `python -m docs.pages` after rules, callbacks, examples or measurements change."""
    assert stale() == []


def test_a_paper_with_direct_feedback_alignment_is_not_said_to_replicate_feedback_alignment():
    """The name of one class is the end of the other's."""
    assert "gilmer2017" in replicated("dfa")
    assert "gilmer2017" not in replicated("fa")


def test_every_rule_and_every_paper_has_a_page_in_the_navigation():
    """A page outside of the navigation is found by nobody."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert {f"rules/{name}.md" for name in fa.RULES | fa.PAIR_RULES} <= set(pages)
    assert [page for page in pages if page not in text] == []


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == fa.__version__
