"""The list of the runs of cheung2019, and the training of one run."""

from collections.abc import Callable
from dataclasses import replace

from lightning.pytorch import Callback, LightningModule, seed_everything
from torch import Tensor

import lightning_fa as fa
from lightning_fa.callbacks import AlignmentMonitor
from replications.experiment.fit import fit_loaders, quiet_lightning
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.measuring.held_out import HeldOut
from replications.papers.cheung2019.cosines import WeightCosines
from replications.papers.cheung2019.data import Tasks, held_out_stream, steps_per_epoch, tasks, train_stream
from replications.papers.cheung2019.network import NETS, TwoNetworks
from replications.papers.cheung2019.settings import Settings
from replications.papers.cheung2019.summary import summary

STANDARD, BACKWARD, BOTH = "standard", "coupled-backward", "coupled-both"


def plan(session: Session) -> list[Run]:
    """All runs. Figures 2 and 3 show different numbers of the same runs."""
    settings: Settings = session.settings
    runs = []
    for seed in session.seeds:
        runs.append(Run("fig2", STANDARD, "bidirectional", seed, settings))
        for pairing in settings.pairings:
            for name, coupled in ((BACKWARD, "backward"), (BOTH, "both")):
                chosen = replace(settings, coupled=coupled, pairing=pairing)
                runs.append(Run("fig2", f"{name}-{pairing}", "bidirectional", seed, chosen))
    return runs


def train(session: Session, run: Run) -> dict[str, float]:
    """Train and test one run; returns the numbers that the claims need."""
    settings: Settings = run.settings
    both = tasks(session)
    seed_everything(run.seed, verbose=False)
    module = TwoNetworks({net: both[net].width for net in NETS}, settings.hidden, 10, settings.learning_rate)
    steps = steps_per_epoch(both, settings)
    with quiet_lightning():
        stream, tested = train_stream(both, settings, run.seed), held_out_stream(both)
    strategy = fa.FeedbackStrategy(rule=rule_of(run))
    curve = fit_loaders(
        session, run, module, strategy, stream, tested, monitors(settings, both, steps), steps_per_epoch=steps
    )
    standard = replace(run, name=STANDARD)  # every run is compared with the final accuracy of its seed's standard run
    return summary(curve, session.curve(standard))


def rule_of(run: Run) -> fa.BidirectionalFeedbackAlignment:
    """The run's learning rule, whose fixed matrices have the distribution of the weights."""
    settings: Settings = run.settings
    return fa.BidirectionalFeedbackAlignment(
        coupled=settings.coupled,  # type: ignore[arg-type]
        pairing=settings.pairing,  # type: ignore[arg-type]
        seed=run.seed,
    )


def monitors(settings: Settings, both: Tasks, steps: int) -> list[Callback]:
    """The callbacks that measure during training. `steps` is the number of steps per epoch."""
    last = settings.epochs * steps if settings.max_steps < 0 else settings.max_steps
    every = range(settings.measure_every, last + 1, settings.measure_every)
    held_out = []
    for net, data in both.items():
        part = data.part(None, settings.curve_samples)
        held_out.append(HeldOut(_logits_of(net), part.test_inputs, part.test_labels, every, f"test/{net}_accuracy_at"))
    return [
        *held_out,
        WeightCosines(settings.measure_every),
        AlignmentMonitor(10 * settings.measure_every, figures=False),
    ]


def _logits_of(net: str) -> Callable[[LightningModule, Tensor], Tensor]:
    return lambda module, x: module.logits(net, x)
