"""The training of one run of launay2019."""

import torch
from lightning.pytorch import Callback, LightningModule, seed_everything
from torch import Tensor

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor, PreAlignment
from replications.data import Dataset, batches
from replications.experiment.fit import fit_loaders, quiet_lightning
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.measuring.held_out import HeldOut
from replications.papers.launay2019.data import prepared
from replications.papers.launay2019.network import Classifier
from replications.papers.launay2019.settings import Training
from replications.papers.launay2019.summary import summary


def train(session: Session, run: Run) -> dict[str, float]:
    """Train and test one run; returns the numbers that the claims need.

    A short run for tuning has no monitors and returns only the accuracy on held-out samples.
    """
    settings: Training = run.settings
    data = prepared(session.data, settings)
    seed_everything(run.seed, verbose=False)
    model = Classifier(settings)
    if run.rule == "frozen":
        model.freeze_convolutions()
    # a data set smaller than a batch gives one batch of all samples
    size = min(settings.batch_size, len(data.train_labels))
    with quiet_lightning():
        stream = batches(data.train_inputs, data.train_labels, size, shuffle_seed=run.seed, drop_last=True)
        tested = batches(data.test_inputs, data.test_labels, 1000)
    steps = len(stream)
    strategy = fa.FeedbackStrategy(rule=rule_of(run), blocks=["blocks.*"])
    callbacks = [] if settings.held_out else monitors(settings, data, steps)
    if run.rule == "dfa-pai":
        callbacks.insert(0, PreAlignment())
    curve = fit_loaders(session, run, model, strategy, stream, tested, callbacks, steps_per_epoch=steps)
    return summary(curve, steps, held_out=bool(settings.held_out))


def rule_of(run: Run) -> fa.Rule:
    """The run's learning rule. Direct feedback shares one matrix, and the error of the hidden layers is not averaged."""
    settings: Training = run.settings
    if run.rule in ("dfa", "dfa-pai", "frozen"):
        init = "normalised" if settings.normalised else "gaussian"
        return fa.DirectFeedbackAlignment(seed=run.seed, init=init, shared=True, reduction="sum")
    if run.rule == "fa":
        return fa.FeedbackAlignment(seed=run.seed)
    return fa.RULES[run.rule]()


def monitors(settings: Training, data: Dataset, steps: int) -> list[Callback]:
    """The callbacks that measure after every epoch: cosines on the first batch of test samples, and accuracies."""
    last = settings.max_steps if settings.max_steps >= 0 else settings.epochs * steps
    ends = sorted({*range(steps, last + 1, steps), last})
    first = (data.test_inputs[: settings.batch_size], data.test_labels[: settings.batch_size])
    scored = torch.randperm(len(data.train_labels), generator=torch.Generator().manual_seed(0))
    scored = scored[: settings.scored_samples]
    train_x, train_y = data.train_inputs[scored], data.train_labels[scored]
    return [
        AlignmentMonitor(ends, batch=first, figures=False),
        HeldOut(_logits, train_x, train_y, ends, "train/accuracy_at"),
        HeldOut(_logits, data.test_inputs, data.test_labels, ends, "test/accuracy_at"),
    ]


def _logits(module: LightningModule, x: Tensor) -> Tensor:
    logits: Tensor = module(x)
    return logits
