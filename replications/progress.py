"""Progress of a replication: bars on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0
STEPS_BETWEEN_UPDATES = 20


class RunProgress:
    """One bar for the runs and one for the steps of the present run."""

    def __init__(self, runs: int) -> None:
        self.runs, self.done, self.label = runs, 0, ""
        self.begun = self.last_line = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Progress(*columns, TimeRemainingColumn(), console=Console(file=sys.stdout))
        self.live = self.bars.console.is_terminal
        self.all_runs = self.bars.add_task("runs", total=runs)
        self.steps = self.bars.add_task("", total=None, visible=False)

    def __enter__(self) -> "RunProgress":
        if self.live:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def start(self, label: str) -> None:
        """A run begins."""
        self.label = label
        self.bars.update(self.steps, description=label, visible=True, completed=0, total=None)
        self._say(f"run {self.done + 1}/{self.runs}: {label}")

    def step(self, done: int, total: int, note: str) -> None:
        """The present run has made `done` of `total` steps."""
        self.bars.update(self.steps, completed=done, total=total, description=f"{self.label} {note}")
        if time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self._say(f"  {self.label}: step {done}/{total} {note}")

    def finish(self, note: str) -> None:
        """The present run is over."""
        self.done += 1
        self.bars.update(self.all_runs, completed=self.done)
        message = f"  {self.label}: {note}"
        self.bars.console.print(message, highlight=False) if self.live else self._say(message)

    def _say(self, line: str) -> None:
        self.last_line = time.monotonic()
        if not self.live:
            print(f"[{time.monotonic() - self.begun:6.1f} s] {line}", flush=True)


class ShowSteps(Callback):
    """Tell a RunProgress about the steps of a Trainer."""

    def __init__(self, progress: RunProgress) -> None:
        self.progress = progress

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        total = int(trainer.estimated_stepping_batches)
        if trainer.global_step % STEPS_BETWEEN_UPDATES and trainer.global_step != total:
            return
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        note = f"epoch {trainer.current_epoch + 1} loss {loss:.3f}"
        self.progress.step(trainer.global_step, total, note)
