"""The runs of launay2019 and their order. The results of some runs decide the settings of others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.launay2019.configurations import CHANGES, baseline, configuration
from replications.papers.launay2019.settings import Settings, Training, Tuning

VARIANTS = ("narrow", "mask", "repo")
RECIPE_RULES = ("bp", "usf", "fa", "dfa", "frozen")
LONGEST = "fc-tanh"
PRE_ALIGNED = "fc-pai"
CONVOLUTIONAL = "conv-tanh"


@dataclass(frozen=True)
class Configured(Run):
    """A run. W&B groups it with the other seeds of its configuration and with the short runs that tuned it."""

    @property
    def group(self) -> str:
        return f"{self.experiment}/{self.name.partition('/')[0]}"


@dataclass(frozen=True)
class Tuned:
    """A run that takes its settings from the best of several short runs."""

    run: Configured
    candidates: tuple[Configured, ...]

    def chosen(self, accuracies: dict[str, float]) -> Configured:
        """The run with the settings of the candidate with the highest held-out accuracy, the first of equal candidates."""
        best = max(self.candidates, key=lambda candidate: accuracies.get(candidate.name, -1.0)).settings
        found = {"learning_rate": best.learning_rate, "activation": best.activation}
        return replace(self.run, settings=replace(self.run.settings, **found))


def fixed(session: Session) -> list[Configured]:
    """The runs of direct feedback alignment, whose settings the paper gives."""
    return [
        *(_configured(session, name, seed) for seed in session.seeds for name in configurations(session)),
        *_bottlenecks(session),
        *_pre_aligned(session),
    ]


def tuned(session: Session) -> list[Tuned]:
    """The runs whose settings are tuned: the baselines, and the recipes at equal effort."""
    settings: Settings = session.settings
    runs = []
    for seed in session.seeds:
        for name in dict.fromkeys(map(baseline, compared(session))):
            run = Configured("best-practices", f"bp-{name}", "bp", seed, configuration(name, settings))
            runs.append(_tuned(run, settings.baseline))
        if "recipes" in session.experiments:
            for net, base in settings.recipes.items():
                for rule in RECIPE_RULES:
                    runs.append(_tuned(Configured("recipes", f"{net}-{rule}", rule, seed, base), settings.effort))
    return runs


def configurations(session: Session) -> list[str]:
    """The configurations of the chosen experiments. `alignment`, `pre-alignment` and `conv` need one configuration each."""
    known = session.settings.configurations or tuple(CHANGES)
    if "best-practices" in session.experiments:
        return list(known)
    alone = {"alignment": LONGEST, "pre-alignment": LONGEST, "conv": CONVOLUTIONAL}
    return list(dict.fromkeys(name for experiment, name in alone.items() if experiment in session.experiments))


def compared(session: Session) -> list[str]:
    """The configurations with a tuned baseline."""
    chosen = session.experiments
    known = configurations(session)
    return known if "best-practices" in chosen else [CONVOLUTIONAL] * ("conv" in chosen)


def bottleneck_name(variant: str, size: int) -> str:
    """The name of the run of one size."""
    return f"{variant}-{size}"


def _configured(session: Session, name: str, seed: int) -> Configured:
    return Configured("best-practices", name, "dfa", seed, configuration(name, session.settings))


def _bottlenecks(session: Session) -> Iterator[Configured]:
    settings: Settings = session.settings
    if "bottleneck" not in session.experiments:
        return
    for seed in session.seeds:
        # the authors' own blocks first, because their log has numbers to compare with
        for variant in reversed(VARIANTS):
            for size in settings.sizes:
                training: Training = replace(settings.bottleneck, variant=variant, bottleneck=size)
                yield Configured("bottleneck", bottleneck_name(variant, size), "dfa", seed, training)


def _pre_aligned(session: Session) -> Iterator[Configured]:
    if "pre-alignment" in session.experiments:
        for seed in session.seeds:
            yield Configured("pre-alignment", PRE_ALIGNED, "dfa-pai", seed, configuration(LONGEST, session.settings))


def _tuned(run: Configured, tuning: Tuning) -> Tuned:
    training: Training = run.settings
    short = {"epochs": tuning.epochs, "max_steps": tuning.max_steps, "held_out": tuning.held_out}
    if training.max_steps >= 0:
        short["max_steps"] = training.max_steps
    candidates = []
    for activation in tuning.activations or (training.activation,):
        for rate in tuning.rates:
            settings = replace(training, activation=activation, learning_rate=rate, **short)
            candidates.append(replace(run, name=f"{run.name}/tuning-{activation}-{rate:g}", settings=settings))
    return Tuned(run, tuple(candidates))
