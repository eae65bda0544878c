"""The two tiers: what `tests/conftest.py` lists by name is there, and files with costly fixtures run in one worker."""

from tests.conftest import HERE, ONCE, SLOW, ByFixture


def test_every_file_of_the_slow_tier_is_there():
    """A file that is renamed would join the fast tier, with its minutes."""
    assert not [name for name in (*SLOW, *ONCE) if not (HERE / name).is_file()]


def test_a_file_with_costly_fixtures_is_one_piece_of_work_and_other_tests_are_one_each():
    """Each of two workers launched all processes of tests/distributed, and nobody noticed but the clock."""
    files = {name: ByFixture._split_scope(None, f"tests/{name}::test_a[b]") for name in SLOW}
    assert {name for name, unit in files.items() if unit == f"tests/{name}"} == {
        *ONCE,
        *(name for name in SLOW if name.startswith("distributed/")),
    }
    assert files["contract/test_compile.py"] == "tests/contract/test_compile.py::test_a[b]"
