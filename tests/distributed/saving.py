"""Checkpoints of a run that expects to be killed."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer


class Saving(Callback):
    """Saves after every epoch, through a rename, and then waits to be killed.

    Args:
        path: Of the checkpoint; beside it ``.reached`` has a line for each.
        reached: What the line says of the trainer.
        pause: Seconds.
    """

    def __init__(self, path: Path, reached: Callable[[Trainer], int], pause: float = 0.0) -> None:
        self.path, self.reached, self.pause = path, reached, pause

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.path.with_suffix(".part"))
        if trainer.is_global_zero:
            os.replace(self.path.with_suffix(".part"), self.path)
            with self.path.with_suffix(".reached").open("a") as file:
                file.write(f"{self.reached(trainer)}\n")
        trainer.strategy.barrier()
        time.sleep(self.pause)
