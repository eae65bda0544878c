"""The page on how to see what trains a network says what the rules and `fa.check` say today."""

import re

import pytest

pytest.importorskip("rich")

import lightning_fa as fa
from benchmarks import is_it_the_rule


def test_the_page_is_not_stale():
    """Run `python -m benchmarks.is_it_the_rule` after a rule's docstring or `fa.check` changes.

    Angles are compared to a degree: their last digit is another on another machine.
    """
    text = is_it_the_rule.PAGE.read_text()
    begin, end = text.index(is_it_the_rule.BEGIN) + len(is_it_the_rule.BEGIN), text.index(is_it_the_rule.END)
    written, now = text[begin:end].strip(), is_it_the_rule.generated()

    def cut(page: str) -> tuple[str, list[float]]:
        return re.sub(r" *[\d.]+°", " °", page), [float(angle) for angle in re.findall(r"([\d.]+)°", page)]

    (words, angles), (new_words, new_angles) = cut(written), cut(now)
    assert words == new_words
    assert angles == pytest.approx(new_angles, abs=1)


def test_every_rule_has_its_error_there():
    """A rule without a formula cannot be told from another."""
    text = is_it_the_rule.PAGE.read_text()
    for name, rule in fa.RULES.items():
        assert text.count(f"**`{name}`** (`{rule.__name__}`)") == 1
        assert r"\delta" in is_it_the_rule.formula(rule) or "L^l" in is_it_the_rule.formula(rule)
