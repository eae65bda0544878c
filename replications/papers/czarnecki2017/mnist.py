"""The training of one network on MNIST (figures 3, 4, 5, 7 and 8, footnote 5)."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything

import lightning_fa as fa
from lightning_fa.callbacks import LinearProbes, RepresentationMonitor, SyntheticGradientMonitor, WeightNorms
from lightning_fa.metrics import accuracy, representation_similarity
from lightning_fa.rules import SyntheticGradient, SyntheticGradientPropagation
from lightning_fa.undisturbed import undisturbed
from replications.data import Dataset
from replications.experiment.fit import fit
from replications.experiment.loggers import Curve, last
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.network import DeepClassifier, block
from replications.papers.czarnecki2017.plan import PICTURED
from replications.papers.czarnecki2017.settings import Mnist

MONITORED = "log"
AT_THE_END: tuple[int, ...] = ()


def train(session: Session, run: Run) -> dict[str, float]:
    """Train and test one run under its rule (:func:`rule_of`); returns the numbers that the claims need."""
    settings: Mnist = run.settings
    data = session.data.part(settings.train_samples, settings.test_samples)
    seed_everything(run.seed, verbose=False)
    model = DeepClassifier(
        data.width,
        settings.width,
        settings.depth,
        data.classes,
        settings.activation,
        settings.learning_rate,
        settings.penalty,
    )
    monitors = _monitors(session, run, data)
    curve = fit(session, run, model, fa.FeedbackStrategy(rule=rule_of(run)), data, monitors)
    return summary(curve)


def rule_of(run: Run) -> fa.Rule:
    """The rule of a run. A single SG module is after the middle hidden layer."""
    middle = block(run.settings.depth // 2)
    rules: dict[str, fa.Rule] = {
        "bp": fa.Backpropagation(),
        "bp-as-sg-all": fa.Backpropagation(),
        "untrained": fa.Backpropagation(),  # with learning rate 0
        "dfa": fa.DirectFeedbackAlignment(seed=run.seed),
        "sg-mid": SyntheticGradient(at=middle),
        "sg-all": SyntheticGradient(),
        "sg-loss-alone": SyntheticGradientPropagation(at=middle, alone=True),
        "lower-half-fixed": SyntheticGradientPropagation(at=middle, alone=True, alpha=0.0),
    }
    return rules[run.rule]


def summary(curve: Curve) -> dict[str, float]:
    """The last value of every metric, and the step at which the running loss first was at most 0.02 (nan if it never was)."""
    metrics = {name: last(values) for name, values in curve.items() if name != "epoch"}
    reached = [step for step, loss in sorted(curve["train/running_loss"].items()) if loss <= 0.02]
    return metrics | {"steps_to_0.02": float(reached[0]) if reached else float("nan")}


def _monitors(session: Session, run: Run, data: Dataset) -> list[Callback]:
    settings: Mnist = run.settings
    scored = data.part(settings.scored_samples, None)
    monitors: list[Callback] = [FinalAccuracy(scored)]
    if run.rule.startswith("sg"):
        monitors.append(SyntheticGradientMonitor(MONITORED))
    if settings.depth != session.settings.mnist.depth or settings.activation != session.settings.mnist.activation:
        return monitors
    shown = data.part(settings.rdm_samples, None, seed=1)
    probed = data.part(settings.probe_samples, None, seed=2)
    samples = (probed.train_inputs, probed.train_labels)
    lowest = [f"layers.norm{i}" for i in range(1, settings.converged_layers + 1)]
    similarity = RepresentationMonitor(
        (shown.train_inputs, shown.train_labels),
        size=settings.rdm_samples,
        steps=AT_THE_END,
        save_to=session.folder(run) / "rsm",
        figures=False,
    )
    monitors += [
        similarity,
        Progression(similarity),
        WeightNorms((0,), histograms=False, change=False, figures=False),
        LinearProbes(samples, steps=AT_THE_END, converged=False, figures=False),
    ]
    if run.rule in PICTURED["fig8"]:
        monitors.append(LinearProbes(samples, layers=lowest, steps=AT_THE_END, input_regression=False, figures=False))
    return monitors


class FinalAccuracy(Callback):
    """Log the accuracy on training samples, in evaluation mode, at the end of training."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with undisturbed(pl_module), torch.no_grad():
            pl_module.eval()
            correct = accuracy(pl_module(self.data.train_inputs.to(pl_module.device)).cpu(), self.data.train_labels)
        for logger in trainer.loggers:
            logger.log_metrics({"train/accuracy": correct}, step=trainer.global_step)


class Progression(Callback):
    """Log the likeness of every hidden layer's matrix to that of the last hidden layer. Must come after `monitor`."""

    def __init__(self, monitor: RepresentationMonitor) -> None:
        self.monitor = monitor

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        hidden = list(self.monitor.matrices.values())[:-1]
        numbers = {f"rsa/{i}": representation_similarity(m, hidden[-1]).item() for i, m in enumerate(hidden, start=1)}
        for logger in trainer.loggers:
            logger.log_metrics(numbers, step=trainer.global_step)
