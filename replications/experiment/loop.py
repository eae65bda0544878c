"""The loop over runs. A run on disk is not trained again, and a finished run is written to disk at once."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from replications.experiment.environment import commit
from replications.experiment.progress import RunProgress
from replications.experiment.results import Results
from replications.experiment.run import Hardware, Run, together
from replications.experiment.sharing import claimed
from replications.judging.claims import Metrics

SECONDS_BETWEEN_LOOKS = 2.0
"""Seconds between two looks at the results of other processes with the same --out."""
Record = dict[str, Any]


class Loop:
    """Finishes runs, and keeps the records of the runs that this call of the command asked for.

    Args:
        results: the results of the output folder
        hardware: the hardware of all runs; a run on other hardware is a different run
        paper: the number of the present paper, and the number of papers
    """

    def __init__(self, results: Results, hardware: Hardware, paper: tuple[int, int] = (1, 1)) -> None:
        self.results, self.hardware, self.paper = results, hardware, paper
        self.records: list[Record] = []
        self.progress: RunProgress | None = None
        self.finished = False
        """Whether the runs of the last call are on disk. An error after that is an error of the figures."""

    def finish(self, runs: Sequence[Run], train: Callable[[Run], Metrics]) -> None:
        """Train every run that --out does not hold yet. A run is in results.json as soon as it is finished.

        If another process with the same --out has begun a run, this process waits for the result.
        """
        self.finish_together([[run] for run in runs], lambda group: [train(group[0])])

    def finish_together(
        self, groups: Sequence[Sequence[Run]], train: Callable[[Sequence[Run]], Sequence[Metrics]]
    ) -> None:
        """Like :meth:`finish`, for groups of runs. The runs of a group differ only in their seeds and are computed together."""
        self.finished = False
        found: dict[int, list[Record]] = {}
        with RunProgress(groups, self.paper) as self.progress:
            while len(found) < len(groups):
                before = len(found)
                for index, runs in enumerate(groups):
                    records = None if index in found else self._finish(runs, train, self.progress)
                    if records is not None:
                        found[index] = records
                if len(found) == before:
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                self.results.refresh()
        self.records += [record for index in sorted(found) for record in found[index]]
        self.finished = True

    def _finish(
        self, runs: Sequence[Run], train: Callable[[Sequence[Run]], Sequence[Metrics]], progress: RunProgress
    ) -> list[Record] | None:
        """The records of `runs`, or None if another process trains them."""
        label = runs[0].label if len(runs) == 1 else together(runs)
        with claimed(self.results.folder, label) as ours:
            if not ours:
                return None
            self.results.refresh()
            progress.start(label, runs)
            earlier = [self.results.finished(self._identity(run)) for run in runs]
            if all(earlier):
                progress.finish("finished earlier, not repeated")
                return [record for record in earlier if record]
            begun = time.monotonic()
            known = zip(runs, _trained(train, runs), earlier, strict=True)
            seconds = time.monotonic() - begun
            records = [before or self._keep(run, metrics, seconds / len(runs)) for run, metrics, before in known]
            progress.finish(f"{seconds:.1f} s{' for all seeds' if len(runs) > 1 else ''}")
            return records

    def _keep(self, run: Run, metrics: Metrics, seconds: float) -> Record:
        # JSON has no nan, and a diverged run measures nan
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        record = {**self._identity(run), "metrics": finite, "seconds": round(seconds, 1), "commit": commit()}
        self.results.add_run(record)
        return record

    def _identity(self, run: Run) -> Record:
        dataset = self.results.content["dataset"]
        return {**asdict(run), "settings": asdict(run.settings), "dataset": dataset, "hardware": asdict(self.hardware)}


def _trained(train: Callable[[Sequence[Run]], Sequence[Metrics]], runs: Sequence[Run]) -> Sequence[Metrics]:
    try:
        return train(runs)
    except SystemExit as end:
        # An interrupted Trainer exits with status 1, which would mean a failed claim here.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
