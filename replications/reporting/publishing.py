"""Publishes offline runs and then the report to W&B. Files on disk stay as they are if this fails."""

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

AGAIN = "The local files are kept. Run the same command again later."
SECONDS = 120.0


def check() -> None:
    """Raise ReplicationError before any work if publishing cannot succeed."""
    missing = [name for name in ("wandb", "wandb_workspaces") if find_spec(name) is None]
    if missing:
        raise ReplicationError(
            f"Expected {' and '.join(missing)} to publish. Run `pip install wandb wandb-workspaces`."
        )
    from replications.experiment.loggers import _has_key

    if not _has_key():
        raise ReplicationError("Expected an API key to publish but got none. Run `wandb login` or set WANDB_API_KEY.")


def sync(runs: Sequence[Path], entity: str, project: str, seconds: float = SECONDS) -> None:
    """Upload offline runs, one by one.

    `wandb sync` marks the uploaded runs, and this mark decides whether the upload succeeded. The exit status does not.
    Interrupted runs are not uploaded, because charts would show them beside the repeated runs.
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
        except Exception as error:  # the client's errors have no common base class
            outcome.append(error)

    # a daemon thread, because the client has no time limit and must not keep the process alive
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
