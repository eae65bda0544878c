"""The list of the runs of gilmer2017, and the training of one run."""

from dataclasses import replace
from math import sqrt

from lightning.pytorch import seed_everything
from torch import Tensor

import lightning_fa as fa
from lightning_fa.feedback import draw
from replications.experiment.fit import fit
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.gilmer2017.network import TanhNetwork
from replications.papers.gilmer2017.probe import FeedbackProbe
from replications.papers.gilmer2017.settings import Settings
from replications.papers.gilmer2017.summary import summary

RULES: dict[str, type[fa.DirectFeedbackAlignment] | type[fa.LinearAlignedFeedback]] = {
    "dfa": fa.DirectFeedbackAlignment,
    "lafs": fa.LinearAlignedFeedback,
}


def plan(session: Session) -> list[Run]:
    """All runs of the chosen experiments."""
    settings: Settings = session.settings
    short = replace(settings, max_steps=settings.scale_max_steps)
    shallow = replace(settings, hidden=settings.hidden[:1])
    runs = []
    for seed in session.seeds:
        runs += [Run("fig1", rule, rule, seed, settings) for rule in RULES]
        for bound in settings.scale_bounds:
            scaled = replace(short, feedback_bound=bound)
            runs += [Run("b-scale", f"{rule}-b{bound:g}", rule, seed, scaled) for rule in RULES]
        runs.append(Run("discussion", "bp", "bp", seed, settings))
        runs.append(Run("discussion", "bp-1-layer", "bp", seed, shallow))
    return [run for run in runs if run.experiment in session.experiments]


def train(session: Session, run: Run) -> dict[str, float]:
    """Train and test one run; returns the numbers that the claims need."""
    settings: Settings = run.settings
    data = session.data.part(settings.train_samples, settings.test_samples)
    probed = data.part(settings.probe_samples, None)
    seed_everything(run.seed, verbose=False)
    model = TanhNetwork(data.width, settings.hidden, data.classes, settings.learning_rate)
    probe = FeedbackProbe(
        model,
        probed.train_inputs,
        probed.train_labels,
        settings.probe_steps,
        local_error=run.rule == "lafs",
        fresh_draws=settings.fresh_draws,
        seed=run.seed,
        unused=unrelated_feedback(run, data.classes),
    )
    return summary(fit(session, run, model, fa.FeedbackStrategy(rule=rule_of(run)), data, [probe]))


def unrelated_feedback(run: Run, outputs: int) -> list[Tensor]:
    """Matrices of the size of B that training does not use, for runs with backpropagation; empty for other rules."""
    if run.rule != "bp":
        return []
    widths = run.settings.hidden
    return [
        draw("uniform", 1.0, run.seed, f"unused B of layer {i}", (width, outputs)) for i, width in enumerate(widths)
    ]


def rule_of(run: Run) -> fa.Rule:
    """The run's learning rule, with B ~ U(-bound, bound) for the bound in the settings."""
    if run.rule == "bp":
        return fa.Backpropagation()
    bound = run.settings.feedback_bound
    scale = 1.0 if bound is None else bound * sqrt(run.settings.hidden[0])
    return RULES[run.rule](seed=run.seed, init="uniform", scale=scale)
