"""Figures 2 and 9: on points of a grid, the true loss beside the loss that every layer's SG module implies."""

from collections.abc import Mapping
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import lightning_fa as fa
from lightning_fa.metrics import implied_loss
from lightning_fa.rules import SyntheticGradient
from replications.czarnecki2017.artificial import grid, label
from replications.czarnecki2017.logged import logged
from replications.czarnecki2017.network import stack
from replications.czarnecki2017.objectives import LOSSES, correlation
from replications.czarnecki2017.settings import Grid
from replications.session import Run, Session

CLASSES = 2
MAPS = "maps.pt"


def implied(h: Tensor, y: Tensor, theta: Mapping[str, Tensor]) -> Tensor:
    """The loss of each row, up to a constant, whose gradient at h is ``hA + yB + C``, where A and B may be missing."""
    constant = theta["C"].expand(len(h), -1)
    if "B" in theta:
        constant = constant + one_hot(y, CLASSES).to(h) @ theta["B"]
    A = theta.get("A", torch.zeros(h.shape[1], h.shape[1]))
    return implied_loss(h, A, constant)


def within_labels(u: Tensor, v: Tensor, y: Tensor) -> float:
    """The correlation of two losses within the points of one label, mean over labels weighted by their number."""
    groups = [y == label for label in y.unique()]
    return sum(correlation(u[rows], v[rows]) * int(rows.sum()) for rows in groups) / len(y)


def maps(net: nn.Sequential, attached: fa.Attached, x: Tensor, y: Tensor, depth: int, loss: str) -> dict[str, Tensor]:
    """``{"true": (rows,), "1": ..., depth: ...}``: the true loss, and what each layer's module implies."""
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
    """What is logged of the maps at one moment."""
    true, logs = found["true"], {"loss": found["true"].mean().item()}
    for layer, guess in found.items():
        if layer != "true":
            logs[f"sg/hidden{layer}/loss_correlation"] = correlation(guess, true)
            logs[f"sg/hidden{layer}/loss_correlation_within_labels"] = within_labels(guess, true, y)
    return logs


def summary(curve: Mapping[int, Mapping[str, float]], depth: int, steps: int) -> dict[str, float]:
    """From the logs of all moments to the numbers of the claims."""

    def over(quantity: str, chosen: Mapping[int, Mapping[str, float]]) -> float:
        return fmean(
            logs[f"sg/hidden{i}/loss_correlation{quantity}"] for logs in chosen.values() for i in range(1, depth + 1)
        )

    early, late = min(curve, key=lambda step: abs(step - steps / 10)), max(curve)
    top, bottom = (f"sg/hidden{i}/loss_correlation" for i in (depth, 1))
    return {
        "correlation": over("", curve),
        "correlation_within_labels": over("_within_labels", curve),
        "top_minus_bottom": fmean(logs[top] - logs[bottom] for logs in curve.values()),
        "early_correlation": over("", {early: curve[early]}),
        "late_correlation": over("", {late: curve[late]}),
        "loss": curve[late]["loss"],
        **{f"correlation/{i}": fmean(logs[f"sg/hidden{i}/loss_correlation"] for logs in curve.values())
           for i in range(1, depth + 1)},
    }  # fmt: skip


def train(session: Session, run: Run) -> dict[str, float]:
    """One panel."""
    settings: Grid = run.settings
    x = grid(settings.points, settings.extent)
    y = label(x, settings.labels, run.seed)
    torch.manual_seed(run.seed)
    net = stack(2, settings.width, settings.depth, CLASSES, "relu", norm=False)
    attached = fa.attach(net, SyntheticGradient(inputs=settings.inputs))  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(net.parameters(), lr=settings.learning_rate, fused=True)
    curve: dict[int, dict[str, float]] = {}
    pictures: dict[int, dict[str, Tensor]] = {}
    every = settings.steps // settings.measured
    with logged(session, run) as send:
        for step in range(1, settings.steps + 1):
            attached.targets = y
            loss = LOSSES[settings.loss](net(x), y).mean()
            optimizer.zero_grad()
            attached.loss(loss).backward()
            optimizer.step()
            if step % every == 0:
                pictures[step] = maps(net, attached, x, y, settings.depth, settings.loss)
                curve[step] = numbers(pictures[step], y)
                send(step, curve[step])
    torch.save({"steps": pictures, "x": x, "y": y}, session.folder(run) / MAPS)
    return summary(curve, settings.depth, settings.steps)
