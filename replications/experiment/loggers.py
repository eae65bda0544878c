"""The loggers of every run: a CSV file, from which figures are drawn, and Weights & Biases."""

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
"""How long the end of a run waits for a W&B that does not answer; WANDB_FINISH_TIMEOUT overrides it."""
TAIL_SECONDS = 10.0
_UNREACHABLE: set[str | None] = set()
Curve = dict[str, dict[int, float]]


def check_wandb(mode: str | None) -> str:
    """The mode to use; None means offline where wandb is installed and off where it is not."""
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
    """A CSV logger in `folder` and, unless `mode` is off, a W&B logger; both are complete when the block ends."""
    to_csv = CSVLogger(folder, name="", version="")
    if mode == "off":
        yield [to_csv]
        return
    before = _wandb_variables()
    about = {"group": group, "job_type": rule, "name": name, "config": config, "dir": wandb_folder}
    # not WandbLogger(offline=True), which leaves WANDB_MODE=dryrun in the environment and would start online runs offline
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
    """A run; offline where W&B does not answer, since a replication of hours must not end because a web service does."""
    import wandb

    quiet: dict[str, Any] = {
        "silent": True,
        "console": "off",
        "disable_git": True,
        "disable_code": True,
        "x_disable_stats": True,
    }
    if "finish_timeout" in getattr(wandb.Settings, "model_fields", ()) and "WANDB_FINISH_TIMEOUT" not in os.environ:
        quiet["finish_timeout"] = FINISH_SECONDS  # W&B itself waits for a service that has died for days
    service = os.environ.get("WANDB_BASE_URL")
    if mode == "online" and service not in _UNREACHABLE:
        try:
            return wandb.init(project=PROJECT, mode="online", settings=wandb.Settings(**quiet), **about)
        except wandb.errors.UsageError:  # what the user can mend, before hours are spent
            raise
        except wandb.errors.Error as error:  # a CommError by time, a plain one where its retries are used up before
            _UNREACHABLE.add(service)  # not again for each of a hundred runs
            print(
                f"W&B does not answer ({error}). The runs are kept offline: `wandb sync` them later.", file=sys.stderr
            )
    return wandb.init(project=PROJECT, mode="offline", settings=wandb.Settings(**quiet), **about)


def _wait_for_tail(file: Path) -> None:
    """`finish` of an online run returns before W&B's service has written the end of the run's file."""
    end = time.monotonic() + TAIL_SECONDS
    while time.monotonic() < end:
        if file.exists() and EXIT in file.read_bytes()[-TAIL:]:
            return
        time.sleep(0.02)


def is_whole(run: Path) -> bool:
    """Whether the W&B run in that folder went to its end: neither interrupted, nor killed, nor still going on."""
    files = list(run.glob("run-*.wandb"))
    return not (run / CUT).exists() and all(EXIT in file.read_bytes()[-TAIL:] for file in files)


CUT = "interrupted"
"""Tag of a W&B run that was cut, and name of the mark in its folder: another run of the same name has the whole training."""
EXIT, TAIL = b"\x92\x01", 100
"""The protobuf tag of the last record of a file, and about how long that record is."""


def _wandb_variables() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key.startswith("WANDB_")}


def read_curve(path: Path) -> Curve:
    """Metric by step from a CSV log: {name: {step: value}}."""
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
