"""The runs that the chosen experiments need. Figures 3, 5, 7 and 8 share their deep networks, which are trained once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.czarnecki2017.settings import Settings

NOT_RANDOM = ("fig6", "step-time")
"""Experiments with one run for any number of seeds."""
LABELS = ("linear", "noisy", "random")
LOSSES = ("mse", "log")
PICTURED = {
    "fig3": ("bp", "sg-mid", "sg-all", "bp-as-sg-all"),
    "fig5": ("bp", "sg-mid", "sg-all"),
    "fig7": ("bp", "sg-mid", "sg-all", "dfa"),
    "fig8": ("bp", "sg-mid", "sg-all", "dfa", "untrained"),
    "footnote5": ("sg-loss-alone", "lower-half-fixed"),
}
"""{experiment: the rules whose networks it needs, at the preset's depth}."""
MODULES_LEARN_FROM_MODULES = ("sg-all", "sg-loss-alone", "lower-half-fixed", "bp-as-sg-all")
"""Rules with the rate `everywhere_learning_rate`. `bp-as-sg-all` is backpropagation at this rate, for comparison."""
CALIBRATION = 100
"""Steps in which the batch-norms of the untrained network collect their statistics."""


def plan(session: Session) -> list[Run]:
    """All runs of the chosen experiments. Short runs come first."""
    chosen, runs = set(session.experiments), []
    for seed in session.seeds:
        for names, of in PARTS:
            if chosen & set(names):
                runs += list(of(session.settings, seed, chosen))
    return runs


def mnist_name(rule: str, activation: str, depth: int) -> str:
    """The name of a run on MNIST."""
    return f"{rule}-{activation}-{depth}"


def grid_name(labels: str, loss: str, inputs: str) -> str:
    """The name of a run on the grid."""
    return f"{labels}-{loss}-{inputs}"


def _one(experiment: str, rule: str, field: str) -> Callable[[Settings, int, set[str]], Iterator[Run]]:
    def runs(settings: Settings, seed: int, chosen: set[str]) -> Iterator[Run]:
        if seed == 0 or experiment not in NOT_RANDOM:
            yield Run(experiment, experiment, rule, seed, getattr(settings, field))

    return runs


def _table2(settings: Settings, seed: int, chosen: set[str]) -> Iterator[Run]:
    for size, samples in settings.table2_sizes:
        for labels in LABELS:
            chosen_settings = replace(settings.table2, dataset=labels, dimensions=size, samples=samples)
            yield Run("table2", f"{labels}{size}", "sg", seed, chosen_settings)


def _grid(settings: Settings, seed: int, chosen: set[str]) -> Iterator[Run]:
    inputs = ("both", *(("activations", "labels") if "fig9" in chosen else ()))
    for seen in inputs:
        for loss in LOSSES:
            for labels in settings.grid_labels:
                run_settings = replace(settings.grid, labels=labels, loss=loss, inputs=seen)
                experiment = "fig2" if seen == "both" else "fig9"
                yield Run(experiment, grid_name(labels, loss, seen), "sg", seed, run_settings)


def _mnist(settings: Settings, seed: int, chosen: set[str]) -> Iterator[Run]:
    base = settings.mnist
    wanted = {(rule, base.activation, base.depth) for name in sorted(chosen) for rule in PICTURED.get(name, ())}
    if "fig4" in chosen:
        panels = [(act, depth) for act, depths in settings.depths.items() for depth in depths]
        wanted |= {(rule, act, depth) for rule in ("bp", "sg-mid") for act, depth in panels}
    for rule, activation, depth in sorted(
        wanted, key=lambda key: (key[1] != base.activation, key[2] != base.depth, key)
    ):
        # without another gradient Adam makes full steps along the penalty's gradient, which would shrink the weights to nothing
        penalty = 0.0 if rule == "lower-half-fixed" else base.penalty
        rate = settings.everywhere_learning_rate if rule in MODULES_LEARN_FROM_MODULES else base.learning_rate
        run_settings: Any = replace(base, activation=activation, depth=depth, learning_rate=rate, penalty=penalty)
        if rule in PICTURED["fig8"] and (activation, depth) == (base.activation, base.depth):
            run_settings = replace(run_settings, probe_samples=settings.fig8_probe_samples)
        if rule == "untrained":
            run_settings = replace(run_settings, learning_rate=0.0, max_steps=CALIBRATION, epochs=-1)
        yield Run("mnist", mnist_name(rule, activation, depth), rule, seed, run_settings)


PARTS: tuple[tuple[tuple[str, ...], Callable[[Settings, int, set[str]], Iterator[Run]]], ...] = (
    (("table1",), _one("table1", "all", "unification")),
    (("fig6",), _one("fig6", "sg", "spurious")),
    (("thm1",), _one("thm1", "sg", "theorem1")),
    (("prop2",), _one("prop2", "sg", "tracking")),
    (("step-time",), _one("step-time", "sg-mid", "step_time")),
    (("table2",), _table2),
    (("fig2", "fig9"), _grid),
    (("fig3", "fig4", "fig5", "fig7", "fig8", "footnote5"), _mnist),
)
