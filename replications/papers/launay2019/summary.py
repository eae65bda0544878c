"""Computes the numbers that the claims of launay2019 need from the curves of one run."""

import math
import re

from replications.experiment.loggers import Curve

COSINE = re.compile(r"align/blocks\.(\d+)/cosine")
EARLY, LATE = 5, 10  # epochs


def summary(curve: Curve, steps: int, *, held_out: bool) -> dict[str, float]:
    """Final accuracies, and for each hidden block the cosine at the end, after 5 epochs, and the least from epoch 10 on.

    Blocks are numbered from 1. `steps` is the number of steps per epoch.
    """
    tested = _last(curve["test/accuracy"])
    if held_out:
        return {"held-out/accuracy": tested}
    metrics = {"test/accuracy": tested, "train/accuracy": _last(curve["train/accuracy_at"])}
    for layer, line in cosines(curve).items():
        early = [line[step] for step in sorted(line) if 0 < step <= EARLY * steps]
        late = [value for step, value in line.items() if step >= LATE * steps]
        metrics |= {
            f"cosine/{layer}": _last(line),
            f"early_cosine/{layer}": early[-1] if early else math.nan,
            f"least_later_cosine/{layer}": min(late, default=math.nan),
        }
    return metrics


def cosines(curve: Curve) -> dict[int, dict[int, float]]:
    """{number of the hidden block: {step: cosine}}."""
    found = ((COSINE.fullmatch(name), values) for name, values in curve.items())
    return {int(match[1]) + 1: values for match, values in found if match}


def _last(line: dict[int, float]) -> float:
    return line[max(line)] if line else math.nan
