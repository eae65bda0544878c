"""One call of the command: what was asked for, and the loop over runs that survives being cut."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from replications.claims import Metrics, judge
from replications.datasets import Dataset
from replications.environment import commit, environment
from replications.progress import RunProgress
from replications.registry import Paper
from replications.results import Results


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
    progress: RunProgress | None = None
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def settings(self) -> Any:
        """The settings of the preset."""
        return self.paper.presets[self.preset]

    @property
    def title(self) -> str:
        """For figures: which paper, which data."""
        return f"{self.paper.name}, {self.data.label}, preset {self.preset}"

    def folder(self, run: Run) -> Path:
        """Where the logs of a run lie."""
        return self.out / "logs" / run.label

    def finish(self, runs: Sequence[Run], train: Callable[[Run], Metrics]) -> None:
        """Train every run that --out does not hold yet; each is in results.json as soon as it is finished."""
        with RunProgress(len(runs)) as self.progress:
            for run in runs:
                self.progress.start(run.label)
                earlier = self.results.finished(self._identity(run))
                record = earlier or self._train(run, train)
                self.records.append(record)
                self.progress.finish("finished earlier, not repeated" if earlier else f"{record['seconds']} s")

    def judge(self) -> None:
        """Fill in the claims of the chosen experiments over the chosen seeds."""
        chosen = [claim for claim in self.paper.claims if claim.experiment in self.experiments]
        by_seed = [self._metrics(seed) for seed in self.seeds]
        records = [judge(claim, by_seed, self.preset, self.data.label) for claim in chosen]
        seconds = sum(run["seconds"] for run in self.results.content["runs"])
        self.results.content["environment"] = environment() | {"wall_time_s": round(seconds, 1)}
        self.results.content["claims"] = records
        self.results.write()

    def _train(self, run: Run, train: Callable[[Run], Metrics]) -> dict[str, Any]:
        begun = time.monotonic()
        # JSON has no word for nan, which a diverged run measures
        metrics = {name: value if math.isfinite(value) else None for name, value in train(run).items()}
        seconds = round(time.monotonic() - begun, 1)
        record = {**self._identity(run), "metrics": metrics, "seconds": seconds, "commit": commit()}
        self.results.add_run(record)
        return record

    def _metrics(self, seed: int) -> dict[str, Metrics]:
        records = {record["name"]: record["metrics"] for record in self.records if record["seed"] == seed}
        return {
            name: {key: math.nan if value is None else value for key, value in metrics.items()}
            for name, metrics in records.items()
        }

    def _identity(self, run: Run) -> dict[str, Any]:
        settings = asdict(run.settings)
        return {**asdict(run), "settings": settings, "dataset": self.data.label, "hardware": asdict(self.hardware)}
