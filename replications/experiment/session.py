"""One call of the command for one paper: the checked request and the output folder."""

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
    """The argument of a paper's run(): the request, and the loop that finishes its runs.

    `preset` is the name of the preset, followed by the changes to its settings. `settings` include these changes.
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
        """The title of figures: paper, data and preset."""
        return f"{self.paper.name}, {self.data.label}, preset {self.preset}"

    @property
    def logs(self) -> Path:
        """The folder with the logs of all runs."""
        return self.out / "logs"

    def folder(self, run: Run) -> Path:
        """The folder with the logs of a run."""
        return self.logs / run.label

    def curve(self, run: Run) -> Curve:
        """The numbers that a run has logged."""
        return read_curve(self.folder(run) / "metrics.csv")

    def curves(self, runs: Iterable[Run]) -> dict[str, list[Curve]]:
        """The curves of `runs`: {name of the run: one curve per seed}."""
        found: dict[str, list[Curve]] = {}
        for run in runs:
            found.setdefault(run.name, []).append(self.curve(run))
        return found

    def loggers(self, label: str, run: Run, **config: Any) -> AbstractContextManager[list[Logger]]:
        """Loggers into the folder `label`, which is emptied first. W&B gets `config` together with the run's settings."""
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
    """The `run` of a paper that can list all its runs in advance: train the runs that --out lacks, then draw the figures."""

    def run(session: Session) -> None:
        runs = plan(session)
        session.loop.finish(runs, partial(train, session))
        draw_figures(session, runs)

    return run


def conclude(session: Session) -> None:
    """Judge the claims of the chosen experiments over the chosen seeds. The claims of other experiments are kept."""
    paper, results = session.paper, session.loop.results
    known = {record["id"]: record for record in results.content["claims"]}
    seeds = by_seed(session.loop.records, session.seeds)
    fresh = judged(paper.claims, seeds, session.preset, session.data.label, session.experiments)
    known |= {record["id"]: record for record in fresh}
    records = [known[claim.id] for claim in paper.claims if claim.id in known]
    seconds = sum(run["seconds"] for run in results.content["runs"])
    left = rest(paper.name, paper.claims, paper.seeds[base(session.preset)], session.preset, records)
    results.conclude(environment() | {"wall_time_s": round(seconds, 1), "rest": left}, records)
