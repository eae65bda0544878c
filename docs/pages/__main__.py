"""Write the generated pages of docs/, or check them.

python -m docs.pages [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from docs.pages import callbacks, examples, picture, rules

DOCS = Path(__file__).parents[1]


def generated() -> dict[str, str | bytes]:
    """{path below docs/: content}."""
    return {"assets/families.svg": picture.svg(), **rules.pages(), **callbacks.pages(), **examples.pages()}


def stale() -> list[str]:
    """The generated files whose content differs from the file on disk."""
    return [path for path, content in generated().items() if not _holds(DOCS / path, content)]


def _holds(path: Path, content: str | bytes) -> bool:
    return path.is_file() and path.read_bytes() == (content.encode() if isinstance(content, str) else content)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m docs.pages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if a page is stale")
    check = parser.parse_args().check
    found = stale()
    if check and found:
        print(f"error: stale pages: {', '.join(found)}. Run `python -m docs.pages`.", file=sys.stderr)
        return 1
    for path, content in generated().items() if found else ():
        target = DOCS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
