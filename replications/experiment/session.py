"""One call of the command for one paper: what was asked for, checked, and where it goes."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from replications.data import Dataset
from replications.experiment.environment import environment
from replications.experiment.loggers import Curve, loggers, read_curve
from replications.experiment.loop import Loop
from replications.experiment.registry import Paper
from replications.experiment.run import Run
from replications.judging.claims import Metrics
from replications.judging.presets import base
from replications.judging.verdicts import by_seed, judged, rest


@dataclass(frozen=True)
class Session:
    """What a paper's run() works with: the request, and the loop that finishes its runs.

    `preset` is the name of the preset with the changes that were made to its settings, and `settings` are those with them.
    """

    paper: Paper
    experiments: tuple[str, ...]
    preset: str
    settings: Any
    seeds: range
    data: Dataset
    out: Path
    wandb: str
    loop: Loop
    data_dir: Path | None = None

    @property
    def title(self) -> str:
        """For figures: which paper, which data."""
        return f"{self.paper.name}, {self.data.label}, preset {self.preset}"

    @property
    def logs(self) -> Path:
        """Where the logs of all runs lie."""
        return self.out / "logs"

    def folder(self, run: Run) -> Path:
        """Where the logs of a run lie."""
        return self.logs / run.label

    def curve(self, run: Run) -> Curve:
        """What a run has logged."""
        return read_curve(self.folder(run) / "metrics.csv")

    def curves(self, runs: Iterable[Run]) -> dict[str, list[Curve]]:
        """The same of all seeds, by the name of the run."""
        found: dict[str, list[Curve]] = {}
        for run in runs:
            found.setdefault(run.name, []).append(self.curve(run))
        return found

    def loggers(self, label: str, run: Run, **config: Any) -> AbstractContextManager[list[Logger]]:
        """Loggers into the folder `label`, emptied, of one group in W&B; `config` is kept beside the run's settings."""
        folder = self.logs / label
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        settings = {
            **asdict(run.settings),
            **config,
            "dataset": self.data.label,
            "preset": self.preset,
            "run": run.name,
        }
        group = f"{self.paper.name}/{run.group}"
        return loggers(folder, self.out, self.wandb, group=group, rule=run.rule, name=label, config=settings)


def planned(
    plan: Callable[[Session], Sequence[Run]],
    train: Callable[[Session, Run], Metrics],
    draw_figures: Callable[[Session, Sequence[Run]], None],
) -> Callable[[Session], None]:
    """The `run` of a paper whose runs are all known before the first of them: train what --out lacks, then draw."""

    def run(session: Session) -> None:
        runs = plan(session)
        session.loop.finish(runs, partial(train, session))
        draw_figures(session, runs)

    return run


def conclude(session: Session) -> None:
    """Fill in the claims of the chosen experiments over the chosen seeds; those of other experiments are kept."""
    paper, results = session.paper, session.loop.results
    known = {record["id"]: record for record in results.content["claims"]}
    seeds = by_seed(session.loop.records, session.seeds)
    fresh = judged(paper.claims, seeds, session.preset, session.data.label, session.experiments)
    known |= {record["id"]: record for record in fresh}
    records = [known[claim.id] for claim in paper.claims if claim.id in known]
    seconds = sum(run["seconds"] for run in results.content["runs"])
    left = rest(paper.name, paper.claims, paper.seeds[base(session.preset)], session.preset, records)
    results.conclude(environment() | {"wall_time_s": round(seconds, 1), "rest": left}, records)
