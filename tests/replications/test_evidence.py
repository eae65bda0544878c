"""Oracle: a reader of the repository can see where every bound comes from."""

import json
import re
from pathlib import Path

import pytest

from replications import papers as package
from replications.experiment import registry

HERE = Path(package.__file__).parent
KEYS = {"id", "what", "value", "bounds", "seed", "date", "source"}
DERIVED = "0 is no difference"


def entries(paper):
    return json.loads((HERE / paper / "evidence.json").read_text(encoding="utf-8"))


def cited(claim):
    return re.findall(r"evidence: ([\w-]+)", claim.source)


@pytest.mark.parametrize("paper", registry.names())
def test_every_bound_names_its_evidence_or_is_derived(paper):
    """A bound from a pilot that nobody can see could have been chosen after the result."""
    known = {entry["id"] for entry in entries(paper)}
    judged = [claim for claim in registry.load(paper).claims if claim.tolerance]
    assert [c.id for c in judged if not cited(c) and DERIVED not in c.source] == []
    assert {name for claim in registry.load(paper).claims for name in cited(claim)} <= known


@pytest.mark.parametrize("paper", registry.names())
def test_the_result_of_the_paper_is_no_number_of_our_own(paper):
    """A pilot of seed 0 once stood under "paper says", and the runs of seed 0 reproduced it."""
    assert [c.id for c in registry.load(paper).claims if re.search(r"\bpilot\b", c.expected)] == []


def test_no_verdict_on_launay2019_is_by_a_pilot_of_our_own():
    """Of this paper the abstract and two logs are known. All else is reported."""
    own = {entry["id"] for entry in entries("launay2019") if "pilot" in entry["source"]}
    assert [c.id for c in registry.load("launay2019").claims if c.tolerance and own & set(cited(c))] == []


@pytest.mark.parametrize("paper", registry.names())
def test_every_entry_says_what_was_run_with_which_seed_when_and_how(paper):
    found = entries(paper)
    assert len({entry["id"] for entry in found}) == len(found)
    for entry in found:
        assert set(entry) == KEYS
        assert all(entry[key] not in ("", None) for key in KEYS - {"value"}), entry["id"]


def test_no_source_names_a_document_outside_of_the_repository():
    """What a reader cannot look up is no source."""
    texts = {
        f"{paper}/{c.id}": f"{c.source} {c.expected}" for paper in registry.names() for c in registry.load(paper).claims
    }
    texts |= {str(path): path.read_text(encoding="utf-8") for path in HERE.glob("*/evidence.json")}
    texts |= {str(path): path.read_text(encoding="utf-8") for path in HERE.rglob("*.py")}
    outside = re.compile(
        r"\b(the|our|a) spec\b|\bspec'?s\b|bound: (spec|pilot|our pilot)|\baudit\b|\bsession notes\b|/work/|/root/",
        re.I,
    )
    assert {name: outside.findall(text) for name, text in texts.items() if outside.search(text)} == {}
