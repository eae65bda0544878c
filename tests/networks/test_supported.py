"""The page of supported networks says what was measured, and what was measured holds today."""

import json

import pytest

pytest.importorskip("rich")

from benchmarks import supported, zoo


def measured():
    return json.loads(supported.RESULTS.read_text())["networks"]


def test_the_page_is_not_stale_and_covers_forty_networks():
    """Run `python -m benchmarks.supported --page` after a measurement."""
    assert supported.page(check=True)
    assert sum(map(len, measured().values())) >= 40


def test_no_network_is_wrong_and_every_failure_is_a_refusal():
    """A network that trains by another rule than asked, or dies inside PyTorch, does not belong on a page but in a fix."""
    for kinds in measured().values():
        for name, found in kinds.items():
            assert found.keys() == set(supported.RULES), name
            assert {each["outcome"] for each in found.values()} <= {"works", "refused"}, name


@pytest.mark.parametrize("name", zoo.lightning())
def test_a_network_measured_again_gives_the_same_row(name):
    """Of Lightning's demos, which every user has; of the other libraries the command measures all."""
    found = supported.measure(zoo.lightning()[name])
    row = measured()["lightning"][name]
    assert {rule: each["outcome"] for rule, each in found.items()} == {r: each["outcome"] for r, each in row.items()}


def test_a_network_that_the_rule_changes_is_called_wrong(monkeypatch):
    """A page that calls everything `works` shows nothing."""
    model, x = zoo.lightning()["demos.BoringModel"]()
    attach = supported.fa.attach

    def meddling(model, rule, **kwargs):
        model.layer.weight.data *= 2
        return attach(model, rule, **kwargs)

    monkeypatch.setattr(supported.fa, "attach", meddling)
    assert supported.attempt(model, x, "bp")["outcome"] == "wrong"
