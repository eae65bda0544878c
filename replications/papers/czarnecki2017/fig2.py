"""Figures 2 and 9: the true loss, and the loss that every layer's SG module implies, on points of a grid."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import lightning_fa as fa
from lightning_fa.metrics import implied_loss
from lightning_fa.rules import SyntheticGradient
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import logged
from replications.papers.czarnecki2017.artificial import grid, label
from replications.papers.czarnecki2017.network import stack
from replications.papers.czarnecki2017.objectives import LOSSES, correlation
from replications.papers.czarnecki2017.settings import Grid

CLASSES = 2
MAPS = "maps.pt"
FIRST = 10
SETTLED = 100
FIT = 1e-3


def implied(h: Tensor, y: Tensor, theta: Mapping[str, Tensor]) -> Tensor:
    """The loss of each row, up to a constant, whose gradient at h is ``hA + yB + C``. A and B may be missing."""
    constant = theta["C"].expand(len(h), -1)
    if "B" in theta:
        constant = constant + one_hot(y, CLASSES).to(h) @ theta["B"]
    A = theta.get("A", torch.zeros(h.shape[1], h.shape[1]))
    return implied_loss(h, A, constant)


def within_labels(u: Tensor, v: Tensor, y: Tensor) -> float:
    """The correlation of two losses within the points of one label, the mean over labels weighted by their points."""
    groups = [y == label for label in y.unique()]
    return sum(correlation(u[rows], v[rows]) * int(rows.sum()) for rows in groups) / len(y)


def maps(net: nn.Sequential, attached: fa.Attached, x: Tensor, y: Tensor, depth: int, loss: str) -> dict[str, Tensor]:
    """``{"true": (rows,), "1": ..., depth: ...}``: the true loss, and the loss that each layer's module implies."""
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        h = x
        for i in range(1, depth + 1):
            h = net.get_submodule(f"act{i}")(net.get_submodule(f"hidden{i}")(h))
            prefix = f"hidden{i}."
            theta = {k.removeprefix(prefix): b for k, b in attached.feedback.items() if k.startswith(prefix)}
            found[str(i)] = implied(h, y, theta)
        found["true"] = LOSSES[loss](net.get_submodule("top")(h), y).double()
    return found


def numbers(found: Mapping[str, Tensor], y: Tensor) -> dict[str, float]:
    """The numbers that are logged for the maps of one step."""
    true, logs = found["true"], {"loss": found["true"].mean().item()}
    for layer, guess in found.items():
        if layer != "true":
            logs[f"sg/hidden{layer}/loss_correlation"] = correlation(guess, true)
            logs[f"sg/hidden{layer}/loss_correlation_within_labels"] = within_labels(guess, true, y)
    return logs


def times(steps: int, measured: int) -> list[int]:
    """The steps after which the maps are computed, evenly spaced in the logarithm, from FIRST on."""
    first = min(FIRST, steps)
    return sorted({round(first * (steps / first) ** (i / (measured - 1))) for i in range(measured)})


def summary(curve: Mapping[int, Mapping[str, float]], depth: int) -> dict[str, float]:
    """The numbers that the claims need, from the logs of all measured steps; nan for a mean over no steps.

    `early` is the mean over steps whose loss is above FIT, and `late` over the others. According to the paper the fidelity
    falls at FIT. Both means begin at step SETTLED, because the module begins at zero.
    """
    early = [logs for step, logs in curve.items() if step >= SETTLED and not logs["loss"] <= FIT]
    late = [logs for step, logs in curve.items() if step >= SETTLED and logs["loss"] <= FIT]
    layers = range(1, depth + 1)

    def over(chosen: Sequence[Mapping[str, float]], of: Sequence[int], quantity: str = "") -> float:
        values = [logs[f"sg/hidden{i}/loss_correlation{quantity}"] for logs in chosen for i in of]
        return fmean(values) if values else math.nan

    return {
        "early": over(early, layers),
        "early_top_two": over(early, layers[-2:]),
        "early_top_minus_bottom": over(early, [depth]) - over(early, [1]),
        "early_within_labels": over(early, layers, "_within_labels"),
        "late": over(late, layers),
        "loss": curve[max(curve)]["loss"],
        **{f"early/{i}": over(early, [i]) for i in layers},
    }


def train(session: Session, run: Run) -> dict[str, float]:
    """Train the network of one panel; returns its numbers and saves its maps."""
    settings: Grid = run.settings
    x = grid(settings.points, settings.extent)
    y = label(x, settings.labels, run.seed)
    torch.manual_seed(run.seed)
    net = stack(2, settings.width, settings.depth, CLASSES, "relu", norm=False)
    attached = fa.attach(net, SyntheticGradient(inputs=settings.inputs))  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate, fused=True)
    curve: dict[int, dict[str, float]] = {}
    pictures: dict[int, dict[str, Tensor]] = {}
    moments = set(times(settings.steps, settings.measured))
    with logged(session, run) as send:
        for step in range(1, settings.steps + 1):
            attached.targets = y
            loss = LOSSES[settings.loss](net(x), y).mean()
            optimizer.zero_grad()
            attached.loss(loss).backward()
            optimizer.step()
            if step in moments:
                pictures[step] = maps(net, attached, x, y, settings.depth, settings.loss)
                curve[step] = numbers(pictures[step], y)
                send(step, curve[step])
    torch.save({"steps": pictures, "x": x, "y": y}, session.folder(run) / MAPS)
    return summary(curve, settings.depth)
