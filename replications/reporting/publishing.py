"""To W&B: offline runs, then the report. Whatever fails, what is on disk stays as it is."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from replications.errors import ReplicationError
from replications.experiment.loggers import is_whole

AGAIN = "Nothing local is lost: run the same command again when it works."
SECONDS = 120.0


def check() -> None:
    """An error now, rather than after the work, if publishing cannot succeed."""
    missing = [name for name in ("wandb", "wandb_workspaces") if find_spec(name) is None]
    if missing:
        raise ReplicationError(
            f"Expected {' and '.join(missing)} to publish. Run `pip install wandb wandb-workspaces`."
        )
    from replications.experiment.loggers import _has_key

    if not _has_key():
        raise ReplicationError("Expected an API key to publish but got none. Run `wandb login` or set WANDB_API_KEY.")


def sync(runs: Sequence[Path], entity: str, project: str, seconds: float = SECONDS) -> None:
    """Upload offline runs, one by one; `wandb sync` marks those that arrived, and its exit status says nothing.

    What was cut stays here: charts would show it beside the run that made good for it.
    """
    for run in filter(is_whole, runs):
        command = [sys.executable, "-m", "wandb", "sync", "--entity", entity, "--project", project, str(run)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds, env=_patient(seconds), check=False
            )
            said = (done.stderr + done.stdout).strip()
        except subprocess.TimeoutExpired:
            said = f"no answer within {seconds:g} seconds"
        if not list(run.glob("*.synced")):
            raise ReplicationError(f"W&B did not take the run {run.name}: {_last(said)}. {AGAIN}")


def save(report: Any, seconds: float = SECONDS) -> str:
    """Save the report; returns its address."""
    os.environ.setdefault("WANDB_SILENT", "true")
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(str(report.save().url))
        except Exception as error:  # whatever the client raises, for which it has no common base
            outcome.append(error)

    # a daemon, since the client cannot be told to give up, and must not keep the command from ending
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise ReplicationError(f"W&B did not answer within {seconds:g} seconds. {AGAIN}")
    if isinstance(outcome[0], Exception):
        error = outcome[0]
        raise ReplicationError(f"W&B did not take the report: {type(error).__name__}: {_last(str(error))}. {AGAIN}")
    return str(outcome[0])


def _patient(seconds: float) -> dict[str, str]:
    return {**os.environ, "WANDB_HTTP_TIMEOUT": str(int(seconds)), "WANDB_INIT_TIMEOUT": str(int(seconds))}


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300].rstrip(".") if lines else "it gave no reason"
