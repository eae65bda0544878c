"""A search for cases that nobody wrote: Hypothesis draws them, and every kind of finding is printed with its shortest case."""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def search(cases: SearchStrategy[Any], check: Callable[[Any], None], count: int, start: int) -> dict[str, str]:
    """Kind of finding -> the shortest case that showed it, of ``count``."""
    findings: dict[str, str] = {}
    seen = 0

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def run(case: Any) -> None:
        nonlocal seen
        seen += 1
        try:
            check(case)
        except Exception as error:  # go on: one finding must not hide the others
            frames = [f.name for f in traceback.extract_tb(error.__traceback__)[1:]]
            where = next((name for name in frames if name != "check"), "check")
            key = f"{where}: {type(error).__name__}: {str(error)[:150]}"
            findings[key] = min(findings.get(key, repr(case)), repr(case), key=len)
        if seen % 100 == 0:
            print(f"{seen} cases, {len(findings)} kinds of findings", flush=True)

    with one_thread():
        run()
    print(f"{seen} cases")
    return findings


def main(description: str | None, cases: SearchStrategy[Any], check: Callable[[Any], None], count: int) -> int:
    """The command: ``[--count N] [--seed S]``. The status is 1 if anything was found."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    findings = search(cases, check, options.count, options.seed)
    for key, case in findings.items():
        print(f"\n{key}\n{case}")
    return int(bool(findings))
