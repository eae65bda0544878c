"""The planted faults themselves: one that can no longer be planted shows nothing."""

from tests.faults import FAULTS
from tests.mutations import ROOT


def test_the_line_of_every_fault_stands_once():
    """A line that was rewritten takes its fault along, and the next long run would stop there."""
    lost = []
    for fault in FAULTS:
        path = next(p for p in (ROOT / fault.file, ROOT / "lightning_fa" / fault.file) if p.exists())
        if path.read_text(encoding="utf-8").count(fault.line) != 1:
            lost.append(f"{fault.what}: {fault.file}")
    assert not lost


def test_a_fault_changes_its_line_and_names_the_tests_that_notice():
    for fault in FAULTS:
        assert fault.wrong != fault.line
        assert fault.tests
        assert all((ROOT / test.partition("::")[0]).exists() for test in fault.tests), fault.what
