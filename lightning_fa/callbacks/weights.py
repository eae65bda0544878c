"""WeightNorms: the norms of weights and feedback, and the distance of the weights from their initial values."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lightning_fa.callbacks.comparisons import weight_layers
from lightning_fa.callbacks.monitor import Monitor
from lightning_fa.callbacks.passes import find_attached
from lightning_fa.callbacks.schedule import Steps
from lightning_fa.callbacks.sending import send_figure, send_histogram, send_numbers, send_table
from lightning_fa.ops.wide import double
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.transport.layers import matrices_of


class WeightNorms(Monitor):
    """Frobenius norms of all weight matrices and of the feedback.

    Logged, see :data:`lightning_fa.callbacks.NAMES`: ``weights/<layer>/norm, change, feedback_norm, histogram``.

    Args:
        steps: When to measure; see :class:`~lightning_fa.callbacks.Steps`.
        histograms: Whether to send the entries of every weight to loggers that show histograms.
        change: Whether to keep a copy of the initial weights, and log the distance from the copy.
        figures: Whether to send a figure at the end to loggers that show images.
    """

    def __init__(
        self, steps: Steps = "log", *, histograms: bool = True, change: bool = True, figures: bool = True
    ) -> None:
        super().__init__(steps, histograms=histograms, change=change)
        self.histograms, self.change, self.figures = histograms, change, figures
        self._start: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.change and not self._start:
            self._start = {name: w.detach().cpu().clone() for name, w in _weights(pl_module).items()}

    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        self.latest = {}
        for name, weight in _weights(module).items():
            w = double(weight.detach()).cpu()
            self.latest[f"weights/{name}/norm"] = w.norm().item()
            if name in self._start:
                self.latest[f"weights/{name}/change"] = (w - double(self._start[name])).norm().item()
        attached = find_attached(trainer, module)
        for name, feedback in attached.feedback.items() if attached else ():
            self.latest[f"weights/{name or 'model'}/feedback_norm"] = double(feedback.detach()).norm().item()
        send_numbers(trainer, self.latest)
        if self.histograms:
            for name, weight in _weights(module).items():
                send_histogram(trainer, f"weights/{name}/histogram", weight)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        rows = [[*name.removeprefix("weights/").rsplit("/", 1), value] for name, value in self.latest.items()]
        if rows:
            send_table(trainer, "weights/table", ["layer", "quantity", "value"], rows)
            if self.figures:
                send_figure(trainer, "weights/figure", self.draw)

    def draw(self) -> Any:
        """The norms by depth (needs matplotlib)."""
        from lightning_fa.figures import weight_norms_by_depth

        norms = {name.split("/")[1]: value for name, value in self.latest.items() if name.endswith("/norm")}
        return weight_norms_by_depth({"weights": [norms]})

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "start": dict(self._start)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._start = dict(state_dict["start"])


def _weights(module: LightningModule) -> dict[str, Tensor]:
    """Weight matrices by their layer's name. A matrix with another name than ``weight`` has this name after the layer's."""
    return {name: weight for name, (_, weight) in _held(module).items()}


def _held(module: LightningModule) -> dict[str, tuple[nn.Module, Tensor]]:
    """The layers and matrices of :func:`_weights`. Two layers may share a matrix."""
    found: dict[str, tuple[nn.Module, Tensor]] = {}
    for name, layer in weight_layers(module, [Block("", module)]):
        for parameter in matrices_of(layer):
            weight = layer._parameters[parameter]
            assert weight is not None
            found[(name or "model") + ("" if parameter == "weight" else f".{parameter}")] = (layer, weight)
    return found
