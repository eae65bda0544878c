"""Deliberate faults: each is one line of the library made wrong, and the suite has to notice every one.

    python -m tests.mutations [--only TEXT] [--jobs N]

Prints a line a fault, with the first test that caught it, and exits with 1 if any survived. A fault is a text that stands
exactly once in a file and what replaces it, so that a change to the line shows up here as an error and not as a pass.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.faults import FAULTS, Fault

ROOT = Path(__file__).parents[1]


class Outcome(NamedTuple):
    fault: Fault
    caught: bool
    by: str


def plant(fault: Fault, folder: Path) -> None:
    """Write the fault into the copy of the project under ``folder``."""
    path = folder / fault.file
    if not path.exists():
        path = folder / "lightning_fa" / fault.file
    text = path.read_text()
    if text.count(fault.line) != 1:
        raise SystemExit(
            f"{fault.what}: expected {fault.line!r} once in {fault.file}, but found it {text.count(fault.line)} times."
        )
    path.write_text(text.replace(fault.line, fault.wrong))


def suffer(fault: Fault, healthy: bool = False) -> Outcome:
    """Run the tests that should catch the fault against a copy of the project that has it (or, ``healthy``, has not)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("lightning_fa", "replications", "benchmarks", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.png", "*.svg"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        if not healthy:
            plant(fault, folder)
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "--no-header",
                "-n",
                "0",
                "-p",
                "no:cacheprovider",
                "-m",
                "",
                *fault.tests,
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE)
    return Outcome(fault, ran.returncode == 1 and failed is not None, failed.group(1) if failed else ran.stdout[-300:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="faults whose description contains this")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if options.only in fault.what]
    control = Fault("no fault", "", "", "", tuple(sorted({test for fault in chosen for test in fault.tests})))
    if chosen and (ill := suffer(control, healthy=True)).caught:
        raise SystemExit(f"The suite fails without any fault, so that it cannot judge one: {ill.by}")
    survived = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(suffer, chosen):
            survived += not outcome.caught
            print(
                f"{'caught  ' if outcome.caught else 'SURVIVED'}  {outcome.fault.what}\n            {outcome.by}",
                flush=True,
            )
    print(f"{len(chosen)} faults, {len(chosen) - survived} caught, {survived} survived")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
