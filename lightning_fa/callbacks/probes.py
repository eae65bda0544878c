"""LinearProbes: how well linear readouts of every layer predict the labels and the input."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import one_hot

from lightning_fa.callbacks.features import Layers, check_callable, features, tensors
from lightning_fa.callbacks.monitor import Monitor
from lightning_fa.callbacks.schedule import Steps
from lightning_fa.callbacks.sending import send_figure, send_numbers, send_table
from lightning_fa.metrics import accuracy, logistic, ridge


class LinearProbes(Monitor):
    """Linear readouts of every layer, fitted to fixed samples. They do not influence the training.

    At every monitored step two readouts of each layer are fitted in closed form: a ridge classifier to the labels (one-hot),
    and the ridge regression to the input of Czarnecki et al. 2017, figure 8. At the end of training a logistic classifier is
    trained to convergence as well. Features are computed in evaluation mode.

    Logged, see :data:`lightning_fa.callbacks.NAMES`: ``probe/<layer>/train_accuracy, test_accuracy, input_mse,
    converged_train_accuracy, converged_test_accuracy``.

    Args:
        train: Samples to fit to: ``(inputs, labels)`` tensors, or a DataLoader of such pairs, which is read once.
        test: Samples to test on, in the same form. Without ``test`` only training accuracies are logged.
        layers: Names of the modules whose outputs are probed. Default: the rule's blocks, with the outputs that enter the next
            block.
        steps: When to measure; see :class:`~lightning_fa.callbacks.Steps`.
        classes: Number of classes. Default: the largest training label plus one.
        penalty: Penalty of the ridge regressions, per sample. The default is meant for features of variance about 1.
        logistic_penalty: Penalty of the logistic classifier, on standardised features.
        input_regression: Whether to fit the regression to the input.
        converged: Whether to train the logistic classifiers at the end.
        figures: Whether to send a figure at the end to loggers that show images.
    """

    def __init__(
        self,
        train: Any,
        test: Any = None,
        *,
        layers: Layers = None,
        steps: Steps = "log",
        classes: int | None = None,
        penalty: float = 1e-4,
        logistic_penalty: float = 1e-4,
        input_regression: bool = True,
        converged: bool = True,
        figures: bool = True,
    ) -> None:
        self.train = tensors(train)
        self.test = None if test is None else tensors(test)
        self.layers = layers
        self.classes = int(self.train[1].max()) + 1 if classes is None else classes
        super().__init__(
            steps,
            train=self.train,
            test=self.test,
            layers=layers,
            classes=self.classes,
            penalty=penalty,
            logistic_penalty=logistic_penalty,
            input_regression=input_regression,
            converged=converged,
        )
        self.penalty, self.logistic_penalty = penalty, logistic_penalty
        self.input_regression, self.converged, self.figures = input_regression, converged, figures

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            check_callable(self, pl_module)

    def measure(self, trainer: Trainer, module: LightningModule, batch: Any, batch_index: int) -> None:
        trained, tested = self._features(trainer, module)
        x, y = self.train
        numbers: dict[str, float] = {}
        for layer, h in trained.items():
            readout = ridge(h, one_hot(y, self.classes), self.penalty * len(h))
            numbers[f"probe/{layer}/train_accuracy"] = accuracy(readout(h), y)
            if self.test is not None:
                numbers[f"probe/{layer}/test_accuracy"] = accuracy(readout(tested[layer]), self.test[1])
            if self.input_regression:
                back = ridge(h, x, self.penalty * len(h))
                numbers[f"probe/{layer}/input_mse"] = (back(h) - x.reshape(len(x), -1)).square().mean().item()
        self._publish(trainer, numbers)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        if self.converged:
            self._converge(trainer, pl_module)
        layers = list(dict.fromkeys(name.split("/")[1] for name in self.latest))
        quantities = list(dict.fromkeys(name.split("/")[2] for name in self.latest))
        rows = [[layer, *(self.latest.get(f"probe/{layer}/{q}") for q in quantities)] for layer in layers]
        if rows:
            send_table(trainer, "probe/table", ["layer", *quantities], rows)
            if self.figures:
                send_figure(trainer, "probe/figure", self.draw)

    def _converge(self, trainer: Trainer, module: LightningModule) -> None:
        trained, tested = self._features(trainer, module)
        numbers: dict[str, float] = {}
        for layer, h in trained.items():
            readout = logistic(h, self.train[1], self.classes, self.logistic_penalty)
            numbers[f"probe/{layer}/converged_train_accuracy"] = accuracy(readout(h), self.train[1])
            if self.test is not None:
                numbers[f"probe/{layer}/converged_test_accuracy"] = accuracy(readout(tested[layer]), self.test[1])
        self._publish(trainer, numbers)

    def _features(self, trainer: Trainer, module: LightningModule) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        trained = features(trainer, module, self.layers, self.train[0])
        return trained, {} if self.test is None else features(trainer, module, self.layers, self.test[0])

    def _publish(self, trainer: Trainer, numbers: dict[str, float]) -> None:
        self.latest |= numbers
        send_numbers(trainer, numbers)

    def draw(self) -> Any:
        """Accuracy by depth (needs matplotlib)."""
        from lightning_fa.figures import probe_accuracy_by_depth

        wanted = [name for name in self.latest if name.endswith("_accuracy")]
        lines: dict[str, dict[str, float]] = {}
        for name in wanted:
            _, layer, quantity = name.split("/")
            lines.setdefault(quantity.replace("_", " "), {})[layer] = self.latest[name]
        return probe_accuracy_by_depth({label: [values] for label, values in lines.items()})
