"""Oracle: the table over all papers says the same on a terminal as elsewhere."""

from io import StringIO

from rich.console import Console

from replications.reporting.overview import show_all
from tests.replications.test_readme import RESULT, named

REPORTED = RESULT["claims"][0] | {"id": "b", "expected": "2.4 % [not judged: stand-in]", "verdict": "reported"}
RESULTS = [named("toy2000", "quick"), named("toy2001", "quick", REPORTED) | {"dataset": "digits (stand-in)"}]


def terminal():
    return Console(file=StringIO(), force_terminal=True, width=200)


def test_on_a_terminal_the_table_has_every_paper_and_brackets_survive(capsys):
    console = terminal()
    show_all(RESULTS, (), console)
    shown = console.file.getvalue() + capsys.readouterr().out
    for text in (
        "toy2000",
        "toy2001",
        "paper says",
        "[not judged: stand-in]",
        "2 to 2.7",
        "2.51 [2.26, 2.76] (n=3)",
        "failed",
    ):
        assert text in shown
    assert "toy2000: 0 reproduced, 1 failed, 0 reported (mnist, preset quick)" in shown
    assert "toy2001: 0 reproduced, 0 failed, 1 reported (digits (stand-in), preset quick)" in shown


def test_a_paper_that_broke_is_not_counted_as_if_it_had_ended(capsys):
    show_all(RESULTS, ("toy2001",), Console(file=StringIO()))
    assert "toy2001: broke off; 0 reproduced, 0 failed, 1 reported" in capsys.readouterr().out


def test_a_word_on_stand_in_data_is_loud(capsys):
    show_all(RESULTS, (), Console(file=StringIO()))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if "STAND-IN DATA" in line] == ["toy2001"]
