"""``subprocess`` for commands of Python, without the seconds in which each of them imports PyTorch and Lightning.

A command is a fork of an interpreter that has imported those and nothing of ours (``zygote.py``): it sees the environment, the
folder, the files and the path that it is given, and imports the project from there.
"""

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@functools.cache
def zygote() -> subprocess.Popen:
    """One for each process of pytest's; it ends with that process, whose end closes the pipe."""
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("zygote.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=alone, text=True)
    atexit.register(process.communicate)
    return process


class Command:
    """A command on its way: a part of what ``subprocess.Popen`` offers."""

    def __init__(self, *arguments: Any, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
        how, what, *more = map(str, arguments if arguments[0] in ("-m", "-c") else ("", *arguments))
        self.folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        files = {name: str(self.folder / name) for name in ("out", "errors", "started", "ended")}
        for name in ("out", "errors"):
            (self.folder / name).touch()
        environment = dict(os.environ) if env is None else env
        asked = {"command": [how, what, more], "environment": environment, "folder": str(cwd), **files}
        zygote().stdin.write(json.dumps(asked) + "\n")
        zygote().stdin.flush()
        self.pid = self._number("started", 100)

    def _number(self, name: str, seconds: float) -> int:
        end = time.monotonic() + seconds
        while not (self.folder / name).exists():
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(name, seconds)
            time.sleep(0.01)
        return int((self.folder / name).read_text())

    def poll(self) -> int | None:
        return self._number("ended", 1) if (self.folder / "ended").exists() else None

    def wait(self, timeout: float) -> int:
        return self._number("ended", timeout)

    def send(self, signal_: int) -> None:
        """To the command and all that it has started, as a terminal does."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # has just ended
                os.killpg(self.pid, signal_)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def said(self) -> tuple[str, str]:
        return (self.folder / "out").read_text(), (self.folder / "errors").read_text()


def run(*arguments: Any, timeout: float = 300, check: bool = False, **where: Any) -> subprocess.CompletedProcess:
    """As ``subprocess.run([sys.executable, *arguments], capture_output=True, text=True)``."""
    command = Command(*arguments, **where)
    try:
        code = command.wait(timeout)
    finally:
        command.kill()
    done = subprocess.CompletedProcess(arguments, code, *command.said())
    if check:
        done.check_returncode()
    return done
