"""The loggers of every run: a CSV file, from which figures are drawn, and Weights & Biases."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from replications.errors import ReplicationError

PROJECT = "lightning-fa"
_MODES: dict[str, Literal["offline", "online"]] = {"offline": "offline", "online": "online"}
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
    import wandb

    quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True)
    before = _wandb_variables()
    # not WandbLogger(offline=True), which leaves WANDB_MODE=dryrun in the environment and would start online runs offline
    run = wandb.init(
        project=PROJECT,
        group=group,
        job_type=rule,
        name=name,
        config=config,
        mode=_MODES[mode],
        dir=wandb_folder,
        settings=quiet,
    )
    try:
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        yield [to_csv, WandbLogger(experiment=run, save_dir=wandb_folder)]
    finally:
        run.finish()
        for variable in _wandb_variables():
            del os.environ[variable]
        os.environ.update(before)


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


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    return bool(wandb.login(prompt=False, verify=False))
