"""Task 2: the runs for figures 2a, 2b and S1."""

from collections.abc import Sequence

import torch
from lightning.pytorch import Callback, seed_everything
from torch import Tensor

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from replications.data import Dataset
from replications.experiment.fit import fit
from replications.experiment.loggers import Curve, last
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.measuring.held_out import HeldOut
from replications.papers.lillicrap2014.control import FeedbackAngle
from replications.papers.lillicrap2014.network import LogisticNetwork
from replications.papers.lillicrap2014.settings import Mnist

RULES = {"mnist-bp": "bp", "mnist-fa": "fa", "mnist-fa-sparse-w": "fa_sparse", "mnist-shallow": "shallow"}
FIRST_EPOCHS = 10
FIELDS = 36
DENSE = {"fa_sparse": ("layers.0",)}
"""The layers that a rule excludes, because the paper removes half of W and of B, but not of the input weights W_0."""


def plan(settings: Mnist, seeds: Sequence[int]) -> list[Run]:
    """One run for each rule and seed."""
    return [Run("fig2a", name, rule, seed, settings) for seed in seeds for name, rule in RULES.items()]


def train(session: Session, run: Run) -> dict[str, float]:
    """Train and test one run; returns the numbers that the claims need."""
    settings: Mnist = run.settings
    data = session.data.part(settings.train_samples, settings.test_samples)
    seed_everything(run.seed, verbose=False)
    model = LogisticNetwork(
        data.width, settings.hidden, data.classes, settings.omega, settings.learning_rate, settings.weight_decay
    )
    steps = -(-len(data.train_labels) // settings.batch_size)
    callbacks = monitors(run, model, data, steps)
    strategy = fa.FeedbackStrategy(rule=rule_of(run), ungoverned=DENSE.get(run.rule, ()))
    curve = fit(session, run, model, strategy, data, callbacks)
    torch.save(receptive_fields(model), fields_file(session, run))
    return summary(curve, steps)


def rule_of(run: Run) -> fa.Rule:
    """The run's learning rule, with B ~ U(-beta, beta) and a new B for every seed."""
    if run.rule in ("fa", "fa_sparse"):
        settings: Mnist = run.settings
        # the library's "uniform" is within 1/sqrt(width), and the width is that of the hidden layer
        scale = settings.beta * settings.hidden**0.5
        if run.rule == "fa":
            return fa.FeedbackAlignment(seed=run.seed, scale=scale)
        return fa.SparseFeedbackAlignment(seed=run.seed, scale=scale, density=settings.density)
    return fa.RULES[run.rule]()


def monitors(run: Run, model: LogisticNetwork, data: Dataset, steps: int) -> list[Callback]:
    """The callbacks that measure during training. `steps` is the number of steps per epoch."""
    settings: Mnist = run.settings
    test_steps = [epoch * steps for epoch in settings.test_epochs]
    held_out = HeldOut(lambda module, x: module(x), data.test_inputs, data.test_labels, test_steps)
    when = angle_steps(steps, settings)
    if run.rule == "fa":
        return [held_out, AlignmentMonitor(when, figures=False)]
    control = fa.FeedbackAlignment(seed=run.seed, scale=settings.beta * settings.hidden**0.5)
    rule = rule_of(run) if run.rule == "fa_sparse" else control
    B = rule.initial("layers.2", model.layers[2].weight)  # type: ignore[attr-defined]
    return [held_out, FeedbackAngle(B, when), AlignmentMonitor(when, figures=False)]


def angle_steps(steps: int, settings: Mnist) -> list[int]:
    """The steps before which angles are measured: several in each of the first epochs, then one per epoch."""
    first = [
        epoch * steps + part * steps // settings.angles_per_epoch
        for epoch in range(FIRST_EPOCHS)
        for part in range(settings.angles_per_epoch)
    ]
    return first + [epoch * steps for epoch in range(FIRST_EPOCHS, settings.epochs + 1)]


def angle_of(curve: Curve) -> dict[int, float]:
    """The angle of B e to W^T e by step, from the control if there is one, else from AlignmentMonitor."""
    angles = curve.get("control/angle")
    if angles is None:
        (name,) = [name for name in curve if name.startswith("align/") and name.endswith("/angle")]
        angles = curve[name]
    return angles


def summary(curve: Curve, steps: int) -> dict[str, float]:
    """Test errors in percent, at the end and after 15 epochs, and angles in degrees. `steps` is the number per epoch."""
    angles = angle_of(curve)
    numbers = {"test_error": 100 - last(curve["test/accuracy"]), "angle": last(angles)}
    at_15 = curve.get("test/accuracy_at", {}).get(15 * steps)
    if at_15 is not None:
        numbers["test_error_15"] = 100 - at_15
    first = [angle for step, angle in angles.items() if step < steps]
    numbers["angle_epoch_1"] = sum(first) / len(first)
    tenth = [angle for step, angle in angles.items() if 9 * steps <= step <= 10 * steps]
    if tenth:
        numbers["angle_epoch_10"] = sum(tenth) / len(tenth)
    return numbers


def receptive_fields(model: LogisticNetwork) -> Tensor:
    """The input weights of the hidden units in figure S1 [units, inputs]."""
    weight: Tensor = model.layers[0].weight
    return weight[:FIELDS].detach().cpu().clone()


def fields_file(session: Session, run: Run) -> str:
    """The file with the receptive fields of a run."""
    return str(session.folder(run) / "receptive-fields.pt")
