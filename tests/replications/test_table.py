"""Oracle: nothing that a reader needs is missing from either form of the table."""

from io import StringIO

from rich.console import Console

from replications.reporting.table import show
from tests.replications.test_readme import RESULT


def test_without_a_terminal_the_table_is_plain_lines(capsys):
    show(RESULT, Console(file=StringIO()))
    printed = capsys.readouterr().out
    for text in ("toy2000 on mnist, preset quick", "2.4 %", "2.51 [2.26, 2.76] (n=3)", "2 to 2.7", "table 1", "failed"):
        assert text in printed
    assert "STAND-IN" not in printed


def test_on_a_terminal_the_table_is_ruled_and_brackets_survive():
    """rich takes text in brackets for markup and would swallow the reason why a claim was not judged."""
    claim = RESULT["claims"][0] | {"expected": "2.4 % [not judged: stand-in]", "verdict": "reported"}
    result = RESULT | {"claims": [claim], "dataset": "digits (stand-in)"}
    screen = StringIO()
    show(result, Console(file=screen, force_terminal=True, width=200))
    for text in ("[not judged: stand-in]", "STAND-IN DATA", "2.51 [2.26, 2.76] (n=3)", "reported"):
        assert text in screen.getvalue()


def test_a_smoke_run_is_not_taken_for_evidence(capsys):
    """Runs of 30 steps once said "10 reproduced" and nothing else."""
    show(RESULT | {"preset": "smoke"}, Console(file=StringIO()))
    assert "A LOOK WHETHER IT WORKS" in capsys.readouterr().out
    show(RESULT, Console(file=StringIO()))
    assert "A LOOK" not in capsys.readouterr().out
