"""Computes the numbers that the claims of cheung2019 need from the curves of one run."""

from collections.abc import Mapping

from replications.experiment.loggers import Curve, last
from replications.judging.statistics import spearman
from replications.papers.cheung2019.cosines import PAIRINGS
from replications.papers.cheung2019.network import NETS


def summary(curve: Curve, standard: Curve) -> dict[str, float]:
    """Test accuracies, steps to 90 % of the standard run's accuracy, and the change since the start and trend of each cosine."""
    numbers = {}
    for net in NETS:
        numbers[f"{net}_accuracy"] = last(curve[f"test/{net}_accuracy"])
        goal = 0.9 * last(standard[f"test/{net}_accuracy_at"])
        numbers[f"{net}_steps"] = steps_to(curve[f"test/{net}_accuracy_at"], goal)
    for pairing in PAIRINGS:
        for layer in layers(curve, pairing):
            values = curve[f"cosine/{pairing}/{layer}"]
            change = [values[step] - values[min(values)] for step in sorted(values)]
            key = f"{pairing}/{layer}"
            numbers[f"change/{key}"] = change[-1]
            numbers[f"largest_change/{key}"] = max(map(abs, change))
            numbers[f"trend/{key}"] = spearman(change)
    return numbers


def layers(names: Mapping[str, object], pairing: str) -> list[int]:
    """The hidden matrices of the forward network, from 1."""
    start = f"cosine/{pairing}/"
    return sorted(int(name.removeprefix(start)) for name in names if name.startswith(start))


def steps_to(curve: Mapping[int, float], level: float) -> float:
    """The step at which a curve first reaches `level`, interpolated between two measurements; infinite if it never does."""
    before = (0, 10.0)  # chance
    for step, value in sorted(curve.items()):
        if value >= level:
            return before[0] + (step - before[0]) * (level - before[1]) / (value - before[1])
        before = (step, value)
    return float("inf")
