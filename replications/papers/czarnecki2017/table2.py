"""Table 2: the final loss above the optimum of linear and deep linear models with a linear SG on artificial data."""

from collections.abc import Callable
from statistics import fmean

import torch
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.rules import SyntheticGradient
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import Send, logged
from replications.papers.czarnecki2017.artificial import gaussian, label
from replications.papers.czarnecki2017.objectives import LOSSES, optimum
from replications.papers.czarnecki2017.settings import Table2

CLASSES = 2
LOGGED = 30
NEVER_DEEP = "linear"  # the paper has no deep models with these labels


def shallow(dimensions: int) -> nn.Sequential:
    """A linear model, followed by a fixed identity, so that the SG module is between the model's output and the loss."""
    identity = nn.Linear(CLASSES, CLASSES, bias=False)
    nn.init.eye_(identity.weight)
    identity.weight.requires_grad_(False)
    return nn.Sequential(nn.Linear(dimensions, CLASSES), identity)


STARTS: dict[str, Callable[[Tensor], object]] = {
    "identity": nn.init.eye_,
    "orthogonal": nn.init.orthogonal_,
    "xavier": nn.init.xavier_uniform_,
}
"""Initialisers of the hidden matrices of the deep model, which the paper does not give."""


def deep(dimensions: int, layers: int, start: str = "identity") -> nn.Sequential:
    """Hidden linear layers and a linear output."""
    hidden = [nn.Linear(dimensions, dimensions) for _ in range(layers)]
    for layer in hidden:
        STARTS[start](layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*hidden, nn.Linear(dimensions, CLASSES))


def descend(
    net: nn.Sequential, rule: fa.Rule, x: Tensor, y: Tensor, loss: str, rate: float, steps: int, send: Send, name: str
) -> tuple[float, float]:
    """Train on full batches with Adam for the model and SG; returns the final loss and its mean over the last fifth."""
    late: list[float] = []
    attached = fa.attach(net, rule)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=rate, fused=True)
    for step in range(steps):
        attached.targets = y
        value = LOSSES[loss](net(x), y).mean()
        optimizer.zero_grad()
        attached.loss(value).backward()
        optimizer.step()
        if step >= steps - max(1, steps // 5):
            late.append(value.item())
        if step % max(1, steps // LOGGED) == 0:
            send(step, {name: value.item()})
    with torch.no_grad():
        return LOSSES[loss](net(x), y).mean().item(), fmean(late)


def sweep(settings: Table2, x: Tensor, y: Tensor, best: float, seed: int, send: Send) -> dict[str, float]:
    """The deep model's log loss above the optimum for every start and rate, and the mean of these numbers.

    Each number is a mean over the last fifth of the steps, because the loss is still changing.
    """
    found = {}
    for start in STARTS:
        for rate in settings.deep_rates:
            torch.manual_seed(seed)
            net = deep(settings.dimensions, settings.deep_layers, start)
            rule = SyntheticGradient(at=str(settings.deep_layers // 2 - 1))
            name = f"deep-log-{start}-{rate:g}/sg"
            _, late = descend(net, rule, x, y, "log", rate, settings.deep_steps, send, f"loss/{name}")
            found[name] = late - best
    return found | {"deep-log-swept/sg": fmean(found.values())}


def train(session: Session, run: Run) -> dict[str, float]:
    """Train all models with all losses on one data set; returns their losses above the optimum."""
    settings: Table2 = run.settings
    x = gaussian(settings.dimensions, settings.samples, run.seed)
    y = label(x, settings.dataset, run.seed)
    metrics: dict[str, float] = {}
    with logged(session, run) as send:
        for loss in LOSSES:
            best = optimum(x, y, loss)
            metrics[f"optimum-{loss}"] = best
            for model, rule_name in (("shallow", "sg"), ("shallow", "bp"), ("deep", "sg")):
                if (model == "deep" and settings.dataset == NEVER_DEEP) or (rule_name == "bp" and loss == "mse"):
                    continue
                torch.manual_seed(run.seed)
                if model == "shallow":
                    net, tap, steps = shallow(settings.dimensions), "0", settings.steps
                else:
                    net, steps = deep(settings.dimensions, settings.deep_layers), settings.deep_steps
                    tap = str(settings.deep_layers // 2 - 1)
                rule = SyntheticGradient(at=tap) if rule_name == "sg" else fa.Backpropagation()
                name = f"{model}-{loss}/{rule_name}"
                rate = settings.learning_rate if model == "shallow" else settings.deep_learning_rate
                final, _ = descend(net, rule, x, y, loss, rate, steps, send, f"loss/{name}")
                metrics[name] = final - best
            if loss == "log" and settings.dataset != NEVER_DEEP:
                metrics |= sweep(settings, x, y, best, run.seed, send)
        send(settings.steps, {f"excess/{name}": value for name, value in metrics.items()})
    return metrics
