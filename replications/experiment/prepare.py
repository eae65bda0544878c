"""Turns options into a session. All checks of the request happen here, before any training."""

import argparse
import functools
import os
import time
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from replications.data import load
from replications.errors import ReplicationError
from replications.experiment import registry
from replications.experiment.fit import quiet_lightning
from replications.experiment.loggers import check_wandb
from replications.experiment.loop import Loop
from replications.experiment.results import Results
from replications.experiment.run import Hardware
from replications.experiment.session import Session
from replications.experiment.settings import with_changes
from replications.experiment.stand_in import Load, data_of


def prepare_all(options: argparse.Namespace) -> list[Session]:
    """A session for each paper that was asked for, before the first of them trains."""
    targets = registry.expand(options.targets)
    papers = [target.partition("/")[0] for target in targets]
    twice = sorted({paper for paper in papers if papers.count(paper) > 1})
    if twice:
        raise ReplicationError(
            f"Expected every paper once but got {twice[0]} {papers.count(twice[0])} times. Name its experiments together, "
            f"for example {twice[0]}/A,B."
        )
    several = len(targets) > 1 or registry.ALL in options.targets
    if several and options.settings:
        raise ReplicationError(
            f"Expected one paper with --settings.{options.settings[0][0]} but got {', '.join(papers)}. Each paper has settings "
            "of its own. Run the papers one by one."
        )
    read = functools.cache(load)  # several papers share one copy in memory
    sessions = []
    for number, (target, paper) in enumerate(zip(targets, papers, strict=True), start=1):
        out = options.out / paper if options.out and several else options.out
        session = prepare(argparse.Namespace(**{**vars(options), "target": target, "out": out}), read)
        session.loop.paper = (number, len(targets))
        sessions.append(session)
    return sessions


def prepare(options: argparse.Namespace, load: Load) -> Session:
    """The session of one paper, fully checked. Raises ReplicationError for a wrong option."""
    paper, experiments = registry.select(options.target)
    if options.preset not in paper.presets:
        raise ReplicationError(
            f"Expected a preset of {paper.name} out of {', '.join(paper.presets)} but got {options.preset}. Choose one of them."
        )
    preset, settings = with_changes(paper, options.preset, options.settings)
    seeds = paper.seeds[options.preset] if options.seeds is None else options.seeds
    if seeds < 1:
        raise ReplicationError(f"Expected --seeds to be at least 1 but got {seeds}.")
    hardware = Hardware(options.accelerator, options.devices, options.precision)
    _check_hardware(hardware)
    wandb = check_wandb(options.wandb)
    # with "all", digits stand in for missing data; a paper named alone is refused if its data are missing
    stand_in = registry.ALL in options.targets
    data = data_of(paper, options.dataset, options.data_dir, load, stand_in=stand_in)
    out = _writable(options.out or Path("runs", paper.name, time.strftime("%Y%m%d-%H%M%S")))
    results = Results(out, paper.name, preset, data.label)
    loop = Loop(results, hardware)
    return Session(paper, experiments, preset, settings, range(seeds), data, out, wandb, loop, options.data_dir)


def _check_hardware(hardware: Hardware) -> None:
    """Construct a Trainer, because Lightning knows which hardware options this machine supports."""
    try:
        with quiet_lightning():
            Trainer(
                accelerator=hardware.accelerator,
                devices=hardware.devices,
                precision=hardware.precision,  # type: ignore[arg-type]
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
            )
    except (ValueError, TypeError, RuntimeError, ModuleNotFoundError, MisconfigurationException) as error:
        given = f"--accelerator {hardware.accelerator} --devices {hardware.devices} --precision {hardware.precision}"
        raise ReplicationError(f"Expected hardware options that Lightning accepts but got {given}: {error}") from error


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReplicationError(f"Expected --out to be a folder that can be made but got {folder}: {error}.") from error
    if not os.access(folder, os.W_OK):
        raise ReplicationError(f"Expected --out to be a folder that can be written to but got {folder}.")
    return folder
