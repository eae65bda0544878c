"""Progress of a replication: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from replications.experiment.run import Run

SECONDS_BETWEEN_LINES = 10.0
STEPS_BETWEEN_UPDATES = 20


class RunProgress:
    """Bars for papers, experiments, seeds and runs, and for the epochs and the steps of the present run.

    Args:
        work: groups of runs in their order; the runs of a group are computed together
        paper: the number of the present paper, and the number of papers
        console: where to show the progress; default: the standard output
    """

    def __init__(
        self, work: Sequence[Sequence[Run]], paper: tuple[int, int] = (1, 1), console: Console | None = None
    ) -> None:
        self.work, self.paper, self.done, self.label = work, paper, 0, ""
        self.begun = self.last_line = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Progress(*columns, TimeRemainingColumn(), console=console or Console(file=sys.stdout))
        self.live = self.bars.console.is_terminal
        self.experiments, self.seeds = _Kind(work, lambda run: run.experiment), _Kind(work, lambda run: run.seed)
        add = self.bars.add_task
        self.papers_bar = add("papers", total=paper[1], completed=paper[0] - 1, visible=paper[1] > 1)
        self.experiments_bar = add("experiments", total=len(self.experiments))
        self.seeds_bar = add("seeds", total=len(self.seeds))
        self.runs_bar = add("runs", total=len(work))
        self.epochs_bar = add("epochs", total=None, visible=False)
        self.steps_bar = add("", total=None, visible=False)

    def __enter__(self) -> RunProgress:
        if self.live:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def start(self, label: str, runs: Sequence[Run]) -> None:
        """The group `runs`, named `label`, begins."""
        self.label = label
        self.bars.reset(self.epochs_bar, visible=False)
        self.bars.reset(self.steps_bar, total=None, description=label, visible=True)
        self._say(f"run {self.done + 1}/{len(self.work)}{self._place(runs)}: {label}{self._left()}")

    def step(self, done: int, total: int, note: str, epochs: tuple[float, int] | None = None) -> None:
        """The present run has made `done` of `total` steps; `epochs` holds the same two numbers for epochs."""
        self.bars.update(self.steps_bar, completed=done, total=total, description=f"{self.label} {note}")
        if epochs is not None:
            self.bars.update(self.epochs_bar, completed=epochs[0], total=epochs[1], visible=True)
        if time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            epoch = "" if epochs is None else f"epoch {math.floor(epochs[0]) + (done < total)}/{epochs[1]} "
            self._say(f"  {self.label}: {epoch}step {done}/{total} {note}")

    def finish(self, note: str) -> None:
        """The present run has ended."""
        self.done += 1
        self.bars.update(self.runs_bar, completed=self.done)
        self.bars.update(self.experiments_bar, completed=self.experiments.finished(self.done))
        self.bars.update(self.seeds_bar, completed=self.seeds.finished(self.done))
        if self.done == len(self.work):
            self.bars.update(self.papers_bar, completed=self.paper[0])
        message = f"  {self.label}: {note}"
        self.bars.console.print(message, highlight=False) if self.live else self._say(message)

    def _place(self, now: Sequence[Run]) -> str:
        """The number of the present paper, experiment and seed, for each of the three of which there are several."""
        places = [("paper", *self.paper)]
        places += [(name, kind.number(now), len(kind)) for name, kind in self._kinds() if now]
        several = [f"{name} {number}/{total}" for name, number, total in places if total > 1]
        return f" ({', '.join(several)})" if several else ""

    def _kinds(self) -> list[tuple[str, _Kind]]:
        return [("experiment", self.experiments), ("seed", self.seeds)]

    def _left(self) -> str:
        if not self.done:
            return ""
        seconds = (time.monotonic() - self.begun) / self.done * (len(self.work) - self.done)
        return f", about {seconds:.0f} s left" if seconds < 120 else f", about {seconds / 60:.0f} min left"

    def _say(self, line: str) -> None:
        self.last_line = time.monotonic()
        if not self.live:
            print(f"[{time.monotonic() - self.begun:6.1f} s] {line}", flush=True)


class _Kind:
    """Counts the experiments, or the seeds. An experiment or seed is finished with its last run."""

    def __init__(self, work: Sequence[Sequence[Run]], of: Callable[[Run], Any]) -> None:
        self.of = of
        self.last = {of(run): index for index, group in enumerate(work) for run in group}

    def __len__(self) -> int:
        return len(self.last)

    def number(self, group: Sequence[Run]) -> int:
        return list(self.last).index(self.of(group[0])) + 1

    def finished(self, runs: int) -> int:
        return sum(index < runs for index in self.last.values())


class ShowSteps(Callback):
    """Report the steps of a Trainer to a RunProgress."""

    def __init__(self, progress: RunProgress) -> None:
        self.progress = progress

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        total = int(trainer.estimated_stepping_batches)
        if trainer.global_step % STEPS_BETWEEN_UPDATES and trainer.global_step != total:
            return
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        batches = float(trainer.num_training_batches)
        epochs = None
        if 0 < batches < math.inf:
            every = batches / trainer.accumulate_grad_batches
            epochs = (trainer.current_epoch + (batch_index + 1) / batches, max(1, math.ceil(total / math.ceil(every))))
        self.progress.step(trainer.global_step, total, f"loss {loss:.3f}", epochs)
