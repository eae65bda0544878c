"""Forks itself for every command that it is asked to run, after it has imported what is not ours: see ``commands.py``.

It reads one request a line: the arguments of a Python interpreter, its environment, its folder, and the files to write.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import warnings
from pathlib import Path

PRELOADED = (
    "torch._dynamo",
    "torch.distributed.checkpoint.state_dict",
    "lightning.pytorch.loggers",
    "torchmetrics",
    "torchvision",
    "matplotlib.pyplot",
    "scipy.stats",
    "pytest",
)
"""Nothing of the project, of which a test may run a copy."""


def requests() -> dict:
    """In a fork of this process, what it is to do; in this process it never returns."""
    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        if os.fork():
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asked = json.loads(line)
        worker = os.fork()
        if not worker:
            return asked
        write(asked["started"], worker)
        write(asked["ended"], os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))
        os._exit(0)
    os._exit(0)


def reap(*_: object) -> None:
    """Those who waited for a command; their seconds are then counted as this process'."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def write(file: str, number: int) -> None:
    Path(file + ".part").write_text(str(number))
    os.replace(file + ".part", file)


def become(asked: dict) -> None:
    """As if the interpreter had been started in this environment and folder."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for number, file, mode in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY),
        (2, asked["errors"], os.O_WRONLY),
    ):
        os.dup2(os.open(file, mode | os.O_APPEND), number)
    sys.stdin, sys.stdout = open(0), open(1, "w", buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1)  # noqa: SIM115
    warnings.resetwarnings()
    warnings.filters[:] = asked_filters()
    sys.path[:] = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p] + PATH


def asked_filters() -> list:
    """An interpreter's own, or as PYTHONWARNINGS says in one word."""
    if word := os.environ.get("PYTHONWARNINGS"):
        return [(word, None, Warning, None, 0)]
    return list(FILTERS)


def execute(how: str, what: str, arguments: list[str]) -> None:
    """``python -m what``, ``python -c what`` or ``python what``, with arguments."""
    if how == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = [what, *arguments]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif how == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *arguments]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.path.insert(0, str(Path(what).parent))
        sys.argv = [what, *arguments]
        runpy.run_path(what, run_name="__main__")


FILTERS, PATH = list(warnings.filters), sys.path[1:]

if __name__ == "__main__":
    sys.path[:] = PATH
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        for name in PRELOADED:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    gc.freeze()
    request = requests()
    become(request)
    execute(*request["command"])
