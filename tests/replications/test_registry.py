"""Oracle: a paper is added by adding one module."""

from importlib import resources
from types import ModuleType

import pytest

from replications import papers as package
from replications.experiment import registry


def test_the_papers_are_the_modules_of_the_folder_papers():
    names = registry.names()
    assert "gilmer2017" in names
    assert not {"cli", "claims", "datasets"} & set(names)


def test_a_new_module_is_found_without_being_registered_anywhere(tmp_path, monkeypatch):
    source = 'TITLE = "T"\nEXPERIMENTS = {"fig1": ""}\nPRESETS = SEEDS = {}\nDATASETS = CLAIMS = ()\ndef run(session): pass\n'
    (tmp_path / "author1999.py").write_text(source)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert "author1999" in registry.names()
    paper, experiments = registry.select("author1999")
    assert (paper.title, experiments) == ("T", ("fig1",))


def test_a_paper_that_lacks_something_is_told_what():
    with pytest.raises(TypeError, match="to define TITLE, EXPERIMENTS, PRESETS, SEEDS, DATASETS, CLAIMS, run"):
        registry.from_module("author1999", ModuleType("author1999"))


def test_every_paper_explains_itself_in_the_same_order():
    for name in registry.names():
        doc = __import__(f"replications.papers.{name}", fromlist=["x"]).__doc__
        places = [doc.index(f"\n{heading}\n") for heading in ("Paper", "Claims", "Set-up", "Differences", "Cost")]
        assert places == sorted(places)


@pytest.mark.parametrize("name", registry.names())
def test_every_paper_has_the_same_five_parts(name):
    """Who has read one paper knows where another has its network and its claims; what is the paper's own lies beside."""
    folder = resources.files(registry.PAPERS) / name
    parts = {path.name.removesuffix(".py") for path in folder.iterdir()}
    assert parts >= {"settings", "network", "training", "claims", "figures", "evidence.json", "faults.json"}
