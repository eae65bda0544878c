"""One deliberate fault."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """``line`` stands exactly once in ``<file>``, a path from the root of the project or of the library."""

    what: str
    file: str
    line: str
    wrong: str
    tests: tuple[str, ...]
