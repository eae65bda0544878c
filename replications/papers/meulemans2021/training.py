"""The list of the runs of meulemans2021, and the training of one run."""

import math
from dataclasses import replace

from lightning.pytorch import seed_everything

import lightning_fa as fa
from replications.data import Dataset
from replications.experiment.fit import fit
from replications.experiment.loggers import Curve
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.measuring.held_out import HeldOut
from replications.papers.meulemans2021.network import Network, loss_in_hundredths

MEAN, STD = 0.1307, 0.3081  # of the pixels of MNIST, divided by 255


def plan(session: Session) -> list[Run]:
    """All runs of the chosen experiments, sorted by seed, with the runs of the control last."""
    each = [(*name.split("-"), name, training) for name, training in session.settings.runs.items()]
    runs = [Run(task, name, rule, seed, training) for seed in session.seeds for task, rule, name, training in each]
    return sorted((run for run in runs if run.experiment in session.experiments), key=lambda run: run.rule == "shallow")


def train(session: Session, run: Run) -> dict[str, float]:
    """Train one run, with measurements on the held-out and the test samples after every epoch; returns `best`."""
    data, held_out = prepared(session.data, run)
    steps = -(-len(data.train_labels) // run.settings.batch_size)
    ends = range(steps, run.settings.epochs * steps + 1, steps)
    looks = [
        HeldOut(lambda module, x: module(x), part.test_inputs, part.test_labels, ends, name, loss_in_hundredths)
        for name, part in (("held_out/loss", held_out), ("test/loss", data))
    ]
    seed_everything(run.seed, verbose=False)
    model = Network(data.width, data.width if run.experiment == "autoencoder" else data.classes, run.settings)
    return best(fit(session, run, model, fa.FeedbackStrategy(rule=rule_of(run)), data, looks))


def rule_of(run: Run) -> fa.Rule:
    """The run's learning rule, with a new B for every seed."""
    return fa.DirectFeedbackAlignment(seed=run.seed, init="xavier") if run.rule == "dfa" else fa.RULES[run.rule]()


def prepared(data: Dataset, run: Run) -> tuple[Dataset, Dataset]:
    """Two standardised data sets without the held-out samples in training: one tests on the test samples, one on the held-out."""
    part = data.part(run.settings.train_samples, run.settings.test_samples)
    part = replace(part, train_inputs=(part.train_inputs - MEAN) / STD, test_inputs=(part.test_inputs - MEAN) / STD)
    if run.experiment == "autoencoder":  # the inputs are the targets
        part = replace(part, train_labels=part.train_inputs.flatten(1), test_labels=part.test_inputs.flatten(1))
    held_out = part.hold_out(run.settings.held_out)
    return replace(held_out, test_inputs=part.test_inputs, test_labels=part.test_labels), held_out


def best(curve: Curve) -> dict[str, float]:
    """The test result after the epoch that is best on the held-out samples, the first of equal epochs."""
    held_out, tested = curve["held_out/loss"], curve["test/loss"]
    step = min(held_out, key=lambda step: (math.isnan(held_out[step]), held_out[step]))
    return {"test": tested[step], "held_out": held_out[step], "epoch": 1 + list(tested).index(step)}
