"""What to see in each figure of a paper, and what the paper has there: `captions.json` beside the paper's code."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def captions(paper: str) -> dict[str, str]:
    """Name of a figure -> its caption; none for a paper that is not in this package."""
    path = HERE / paper / "captions.json"
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
