"""Whoever follows a link in the documentation arrives."""

import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)|src=\"([^\"]+)\"")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    links = [first or second for first, second in LINK.findall(page.read_text(encoding="utf-8"))]
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


def test_there_are_pages_with_links():
    assert len(PAGES) >= 5
    assert len(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))) > 5


def test_a_package_index_shows_the_readme_with_its_pictures_and_links(monkeypatch):
    """There the README stands alone: a relative link leads nowhere, and both figures were missing."""
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object  # of the build's own environment
    for name in ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))["CustomMetadataHook"]()
    hook.root = str(ROOT)
    metadata = {"urls": {"Homepage": "https://example.org/us"}}
    hook.update(metadata)
    text = metadata["readme"]["text"]
    relative = [a or b for a, b in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")) if "://" not in a + b]
    assert [a or b for a, b in LINK.findall(text) if "://" not in a + b] == []
    assert text.count("https://example.org/us/blob/main/") + text.count("https://example.org/us/raw/main/") == len(
        relative
    )
    assert text.count("https://example.org/us/raw/main/docs/assets/families.svg") == 1
