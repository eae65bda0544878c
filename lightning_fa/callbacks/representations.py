"""RepresentationMonitor: similarity matrices of fixed samples in every layer, compared between layers and between runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_fa.callbacks.features import Layers, check_callable, features, tensors
from lightning_fa.callbacks.monitor import Monitor
from lightning_fa.callbacks.schedule import Steps
from lightning_fa.callbacks.sending import send_figure, send_numbers, send_table
from lightning_fa.metrics import class_contrast, representation_similarity, similarity


class RepresentationMonitor(Monitor):
    """Representational similarity matrices (RSM) of fixed samples, ordered by label.

    Logged, see :data:`lightning_fa.callbacks.NAMES`: ``rsm/<layer>/to_last, to_first, class_contrast``, and at the end a table
    of similarities between all layers and a figure. :meth:`compare` compares two runs.

    Args:
        samples: ``(inputs, labels)`` tensors, or a DataLoader of such pairs, which is read once.
        size: Largest number of samples. Czarnecki et al. 2017 use 400.
        layers: Names of modules. Default: the rule's blocks, with the outputs that enter the next block.
        steps: When to measure; see :class:`~lightning_fa.callbacks.Steps`.
        save_to: A folder for ``rsm-<step>.pt`` files, which ``torch.load(..., weights_only=True)`` reads.
        figures: Whether to send a figure at the end to loggers that show images.

    Attributes:
        matrices: ``{layer: RSM}`` of the last measurement, ``(size, size)`` on the CPU.
        labels: The labels of the samples, ascending.
    """

    def __init__(
        self,
        samples: Any,
        *,
        size: int = 400,
        layers: Layers = None,
        steps: Steps = "log",
        save_to: str | Path | None = None,
        figures: bool = True,
    ) -> None:
        inputs, labels = tensors(samples, size)
        super().__init__(steps, inputs=inputs, labels=labels, layers=layers)
        order = labels.argsort(stable=True)
        self.inputs, self.labels = inputs[order], labels[order]
        self.layers = layers
        self.save_to = None if save_to is None else Path(save_to)
        self.figures = figures
        self.matrices: dict[str, Tensor] = {}
        self._first: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            check_callable(self, pl_module)

    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        seen = features(trainer, module, self.layers, self.inputs)
        self.matrices = {layer: similarity(h).float() for layer, h in seen.items()}
        self._first = self._first or self.matrices
        last = list(self.matrices.values())[-1]
        self.latest = {}
        for layer, matrix in self.matrices.items():
            self.latest[f"rsm/{layer}/to_last"] = representation_similarity(matrix, last).item()
            self.latest[f"rsm/{layer}/to_first"] = representation_similarity(matrix, self._first[layer]).item()
            self.latest[f"rsm/{layer}/class_contrast"] = class_contrast(matrix, self.labels).item()
        if self.save_to is not None and trainer.is_global_zero:
            self.save_to.mkdir(parents=True, exist_ok=True)
            torch.save(self.matrices, self.save_to / f"rsm-{trainer.global_step:08d}.pt")
        send_numbers(trainer, self.latest)

    def compare(self, other: RepresentationMonitor) -> dict[str, float]:
        """``{layer: similarity}`` to another run's last measurement on the same samples.

        Raises:
            ValueError: The samples or the layers differ.
        """
        if not torch.equal(self.inputs, other.inputs) or self.matrices.keys() != other.matrices.keys():
            raise ValueError("Expected two monitors of the same samples and layers. Make both with the same arguments.")
        return {
            layer: representation_similarity(matrix, other.matrices[layer]).item()
            for layer, matrix in self.matrices.items()
        }

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        if not self.matrices:
            return
        between = [
            [first, *(representation_similarity(a, b).item() for b in self.matrices.values())]
            for first, a in self.matrices.items()
        ]
        send_table(trainer, "rsm/table", ["layer", *self.matrices], between)
        if self.figures:
            send_figure(trainer, "rsm/figure", self.draw)

    def draw(self) -> Any:
        """The RDMs of the last measurement (needs matplotlib)."""
        from lightning_fa.figures import rdm_grid

        return rdm_grid({"": {layer: 1 - matrix for layer, matrix in self.matrices.items()}})

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "matrices": dict(self.matrices), "first": dict(self._first)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.matrices, self._first = dict(state_dict["matrices"]), dict(state_dict["first"])
