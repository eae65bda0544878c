"""Whoever follows a link in the documentation arrives."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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
