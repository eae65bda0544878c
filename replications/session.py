"""One call of the command: what was asked for, and the loop over runs that survives being cut."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from replications.claims import Metrics
from replications.datasets import Dataset
from replications.environment import commit, environment
from replications.judging import by_seed, judged, rest
from replications.loggers import loggers
from replications.progress import RunProgress
from replications.registry import Paper
from replications.results import Results
from replications.sharing import claimed

SECONDS_BETWEEN_LOOKS = 2.0
"""At what another process with the same --out has finished."""


@dataclass(frozen=True)
class Hardware:
    """The Trainer's arguments of the same names."""

    accelerator: str = "auto"
    devices: str = "1"
    precision: str = "32-true"


@dataclass(frozen=True)
class Run:
    """One training. `name` tells it from the other runs of its seed, `settings` is the paper's dataclass."""

    experiment: str
    name: str
    rule: str
    seed: int
    settings: Any

    @property
    def label(self) -> str:
        """For lines of progress, and for the run's folder."""
        return f"{self.experiment}/{self.name}-seed{self.seed}"

    @property
    def group(self) -> str:
        """Which runs W&B shows together."""
        return self.experiment


def together(runs: Sequence[Run]) -> str:
    """What runs that differ in their seeds alone are called."""
    return f"{runs[0].experiment}/{runs[0].name}"


def _trained(train: Callable[[Sequence[Run]], Sequence[Metrics]], runs: Sequence[Run]) -> Sequence[Metrics]:
    try:
        return train(runs)
    except SystemExit as end:
        # A Trainer that is interrupted exits with a status that means a failed claim here.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


@dataclass
class Session:
    """What a paper's run() works with."""

    paper: Paper
    experiments: tuple[str, ...]
    preset: str
    seeds: range
    data: Dataset
    out: Path
    hardware: Hardware
    wandb: str
    results: Results
    data_dir: Path | None = None
    progress: RunProgress | None = None
    paper_number: tuple[int, int] = (1, 1)  # of the papers of this call of the command
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def settings(self) -> Any:
        """The settings of the preset."""
        return self.paper.presets[self.preset]

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

    def loggers(self, label: str, run: Run, **config: Any) -> AbstractContextManager[list[Logger]]:
        """Loggers into the folder `label`, of one group in W&B; `config` is kept beside the run's settings."""
        settings = {
            **asdict(run.settings),
            **config,
            "dataset": self.data.label,
            "preset": self.preset,
            "run": run.name,
        }
        group = f"{self.paper.name}/{run.group}"
        return loggers(self.logs / label, self.out, self.wandb, group=group, rule=run.rule, name=label, config=settings)

    def finish(self, runs: Sequence[Run], train: Callable[[Run], Metrics]) -> None:
        """Train every run that --out does not hold yet; each is in results.json as soon as it is finished.

        Runs that another process with the same --out has begun are left to it, and waited for.
        """
        self.finish_together([[run] for run in runs], lambda group: [train(group[0])])

    def finish_together(
        self, groups: Sequence[Sequence[Run]], train: Callable[[Sequence[Run]], Sequence[Metrics]]
    ) -> None:
        """The same for groups of runs that differ in their seeds alone and are computed at once, as in one batch."""
        found: dict[int, list[dict[str, Any]]] = {}
        with RunProgress(groups, self.paper_number) as self.progress:
            while len(found) < len(groups):
                before = len(found)
                for index, runs in enumerate(groups):
                    records = None if index in found else self._finish(runs, train)
                    if records is not None:
                        found[index] = records
                if len(found) == before:
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                self.results.refresh()
        self.records += [record for index in sorted(found) for record in found[index]]

    def _finish(
        self, runs: Sequence[Run], train: Callable[[Sequence[Run]], Sequence[Metrics]]
    ) -> list[dict[str, Any]] | None:
        """Their records, or None where another process is at it."""
        assert self.progress is not None
        label = runs[0].label if len(runs) == 1 else together(runs)
        with claimed(self.out, label) as ours:
            if not ours:
                return None
            self.results.refresh()
            self.progress.start(label, runs)
            earlier = [self.results.finished(self._identity(run)) for run in runs]
            if all(earlier):
                self.progress.finish("finished earlier, not repeated")
                return [record for record in earlier if record]
            begun = time.monotonic()
            known = zip(runs, _trained(train, runs), earlier, strict=True)
            seconds = time.monotonic() - begun
            records = [before or self._keep(run, metrics, seconds / len(runs)) for run, metrics, before in known]
            self.progress.finish(f"{seconds:.1f} s{' for all seeds' if len(runs) > 1 else ''}")
            return records

    def judge(self) -> None:
        """Fill in the claims of the chosen experiments over the chosen seeds; those of other experiments are kept."""
        known = {record["id"]: record for record in self.results.content["claims"]}
        seeds = by_seed(self.records, self.seeds)
        fresh = judged(self.paper, seeds, self.preset, self.data.label, self.experiments)
        known |= {record["id"]: record for record in fresh}
        records = [known[claim.id] for claim in self.paper.claims if claim.id in known]
        seconds = sum(run["seconds"] for run in self.results.content["runs"])
        about = {"wall_time_s": round(seconds, 1), "rest": rest(self.paper, self.preset, records)}
        self.results.conclude(environment() | about, records)

    def _keep(self, run: Run, metrics: Metrics, seconds: float) -> dict[str, Any]:
        # JSON has no word for nan, which a diverged run measures
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        record = {**self._identity(run), "metrics": finite, "seconds": round(seconds, 1), "commit": commit()}
        self.results.add_run(record)
        return record

    def _identity(self, run: Run) -> dict[str, Any]:
        settings = asdict(run.settings)
        return {**asdict(run), "settings": settings, "dataset": self.data.label, "hardware": asdict(self.hardware)}
