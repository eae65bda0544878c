"""The loggers of every run: a CSV file, which the figures read, and Weights & Biases."""

import csv
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from replications.errors import ReplicationError

PROJECT = "lightning-fa"
FINISH_SECONDS = 300
"""Seconds for which the end of a run waits for W&B to answer. WANDB_FINISH_TIMEOUT overrides this limit."""
TAIL_SECONDS = 10.0
_UNREACHABLE: set[str | None] = set()
Curve = dict[str, dict[int, float]]


def check_wandb(mode: str | None) -> str:
    """The mode to use. For None the mode is offline if wandb is installed, else off."""
    installed = find_spec("wandb") is not None
    if mode is None:
        return "offline" if installed else "off"
    if mode != "off" and not installed:
        raise ReplicationError(f"Expected wandb to be installed for --wandb {mode}. Run `pip install wandb`.")
    if mode == "online" and not _has_key():
        raise ReplicationError(
            "Expected an API key for --wandb online but got none. Run `wandb login`, set WANDB_API_KEY, "
            "or use --wandb offline and `wandb sync` later."
        )
    return mode


@contextmanager
def loggers(
    folder: Path, wandb_folder: Path, mode: str, *, group: str, rule: str, name: str, config: dict[str, Any]
) -> Iterator[list[Logger]]:
    """A CSV logger in `folder` and, unless `mode` is off, a W&B logger. Both logs are complete when the `with` block ends."""
    to_csv = CSVLogger(folder, name="", version="")
    if mode == "off":
        yield [to_csv]
        return
    before = _wandb_variables()
    about = {"group": group, "job_type": rule, "name": name, "config": config, "dir": wandb_folder}
    # WandbLogger(offline=True) would leave WANDB_MODE=dryrun in the environment, so that later online runs start offline
    run = _start(mode, about)
    file = Path(run.settings.sync_file)
    whole = False
    try:
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        yield [to_csv, WandbLogger(experiment=run, save_dir=wandb_folder)]
        whole = True
    finally:
        if not whole:
            run.tags = (*(run.tags or ()), CUT)
            (file.parent / CUT).touch()
        run.finish(exit_code=0 if whole else 1)
        _wait_for_tail(file)
        for variable in _wandb_variables():
            del os.environ[variable]
        os.environ.update(before)


def _start(mode: str, about: dict[str, Any]) -> Any:
    """A W&B run. It is offline if W&B does not answer, so that a long replication does not depend on a web service."""
    import wandb

    quiet: dict[str, Any] = {
        "silent": True,
        "console": "off",
        "disable_git": True,
        "disable_code": True,
        "x_disable_stats": True,
    }
    if "finish_timeout" in getattr(wandb.Settings, "model_fields", ()) and "WANDB_FINISH_TIMEOUT" not in os.environ:
        quiet["finish_timeout"] = FINISH_SECONDS  # the default of W&B is to wait for days
    service = os.environ.get("WANDB_BASE_URL")
    if mode == "online" and service not in _UNREACHABLE:
        try:
            return wandb.init(project=PROJECT, mode="online", settings=wandb.Settings(**quiet), **about)
        except wandb.errors.UsageError:  # the user can correct this before hours are spent
            raise
        except wandb.errors.Error as error:  # CommError after the time limit, Error after the last retry
            _UNREACHABLE.add(service)  # the next runs do not wait again
            print(
                f"W&B does not answer ({error}). The runs are kept offline: `wandb sync` them later.", file=sys.stderr
            )
    return wandb.init(project=PROJECT, mode="offline", settings=wandb.Settings(**quiet), **about)


def _wait_for_tail(file: Path) -> None:
    """Wait for the end of the run's file, because `finish` of an online run returns before W&B has written it."""
    end = time.monotonic() + TAIL_SECONDS
    while time.monotonic() < end:
        if file.exists() and EXIT in file.read_bytes()[-TAIL:]:
            return
        time.sleep(0.02)


def is_whole(run: Path) -> bool:
    """Whether the W&B run in the folder `run` is complete: neither interrupted, nor killed, nor still in progress."""
    files = list(run.glob("run-*.wandb"))
    return not (run / CUT).exists() and all(EXIT in file.read_bytes()[-TAIL:] for file in files)


CUT = "interrupted"
"""The tag of an interrupted W&B run, and the name of the file that marks its folder. The repeated run has the same name."""
EXIT, TAIL = b"\x92\x01", 100
"""The protobuf tag of the last record of a file, and the number of bytes at the end of the file in which to look for it."""


def _wandb_variables() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key.startswith("WANDB_")}


def read_curve(path: Path) -> Curve:
    """The metrics of a CSV log: {name: {step: value}}."""
    curve: Curve = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name != "step" and text:
                    curve.setdefault(name, {})[int(row["step"])] = float(text)
    return curve


def last(line: Mapping[int, float]) -> float:
    """The value at the last step."""
    return line[max(line)]


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    return bool(wandb.login(prompt=False, verify=False))
