"""Table 1 as code: one scheme (module, target, loss) for six rules, compared with the library's rules at h."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

import lightning_fa as fa
from lightning_fa.rules import Kickback, SyntheticGradient, SyntheticGradientPropagation
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import logged
from replications.papers.czarnecki2017.artificial import generator
from replications.papers.czarnecki2017.network import stack
from replications.papers.czarnecki2017.settings import Unification


class Errors(NamedTuple):
    """True gradients per sample at h, at g (the next layer's pre-activation), and at p (the network's output)."""

    h: Tensor
    g: Tensor
    p: Tensor


def distance(target: Tensor, s: Tensor) -> Tensor:
    """``|t - s|^2``."""
    return (target - s).square().sum()


def agreement(target: Tensor, s: Tensor) -> Tensor:
    """``-<t, s>``, whose gradient with respect to s is -t."""
    return -(target * s).sum()


class Column(NamedTuple):
    """One column of table 1. ``own`` and ``through`` are the weights of SG itself and of dL_SG/dh in the signal at h."""

    module: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
    target: Callable[[Errors], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    own: float
    through: float


def linear(h: Tensor, y: Tensor, theta: Mapping[str, Tensor]) -> Tensor:
    """``hA + yB + C``."""
    return h @ theta["A"] + y @ theta["B"] + theta["C"]


def projected(h: Tensor, y: Tensor, theta: Mapping[str, Tensor]) -> Tensor:
    """``hA``."""
    return h @ theta["A"]


def itself(h: Tensor, y: Tensor, theta: Mapping[str, Tensor]) -> Tensor:
    """``h``."""
    return h


def columns(alpha: float) -> dict[str, Column]:
    """The columns of the table, in the paper's order."""
    return {
        "sg": Column(linear, lambda e: e.h, distance, 1, 0),
        "sgprop": Column(linear, lambda e: e.h, distance, 1, alpha),
        "bp": Column(itself, lambda e: -e.h, agreement, 0, 1),
        "dfa": Column(projected, lambda e: -e.p, agreement, 0, 1),
        "fa": Column(projected, lambda e: -e.g, agreement, 0, 1),
        "kickback": Column(projected, lambda e: -e.p, agreement, 0, 1),
    }


FLAGS: dict[str, tuple[bool, bool, bool, bool]] = {
    "sg": (True, False, False, False),
    "sgprop": (True, True, True, False),
    "bp": (False, True, True, False),
    "dfa": (False, True, False, True),
    "fa": (False, True, True, False),
    "kickback": (False, True, False, True),
}
"""SG trains, update locked, backward locked, direct error: the paper's rows."""


def signal(column: Column, h: Tensor, y: Tensor, errors: Errors, theta: Mapping[str, Tensor]) -> Tensor:
    """The signal at h according to the scheme. Targets count as constants."""
    seen = h.detach().requires_grad_()
    s = column.module(seen, y, theta)
    if not column.through:
        return column.own * s
    (through,) = torch.autograd.grad(column.loss(column.target(errors), s), seen, create_graph=True)
    return column.own * s + column.through * through if column.own else column.through * through


def flags(column: Column, learned: bool, h: Tensor, y: Tensor, theta: Mapping[str, Tensor]) -> tuple[bool, ...]:
    """The four flags of a column, derived from the true gradients on which the signal depends."""
    sizes = h.shape, (len(h), theta["A"].shape[1]), (len(h), theta["A"].shape[1])
    errors = Errors(*(torch.ones(size, dtype=h.dtype, requires_grad=True) for size in sizes))
    found = torch.autograd.grad(signal(column, h, y, errors, theta).square().sum(), errors, allow_unused=True)
    at_h, at_g, at_p = (gradient is not None for gradient in found)
    return learned, at_h or at_g or at_p, at_h or at_g, at_p


class Problem:
    """A random network of two hidden layers in float64, a batch, and its true gradients."""

    def __init__(self, settings: Unification, seed: int) -> None:
        rng = generator(seed)
        self.x = torch.randn(settings.samples, settings.inputs, generator=rng, dtype=torch.float64)
        self.y = torch.randn(settings.samples, settings.outputs, generator=rng, dtype=torch.float64)
        self.net = stack(settings.inputs, settings.width, 2, settings.outputs, "sigmoid", norm=False).double()
        for parameter in self.net.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng, dtype=torch.float64) / 2
        self.rng = rng

    def loss(self, p: Tensor) -> Tensor:
        """Half the squared error, the mean over samples."""
        return (p - self.y).square().sum() / 2 / len(p)

    def errors(self) -> tuple[Tensor, Errors]:
        """The activation h, and the true gradients of each sample's own loss."""
        h = self.net[:2](self.x)
        g = self.net.hidden2(h)
        p = self.net[3:](g)
        found = torch.autograd.grad(self.loss(p) * len(p), (h, g, p))
        return h.detach(), Errors(*found)

    def delivered(self, rule: fa.Rule, ungoverned: tuple[str, ...] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """The signal of the library's rule at h, per sample, and the rule's matrices. Learned matrices are drawn at random."""
        attached = fa.attach(self.net, rule, ungoverned=ungoverned, example=self.x)
        seen: list[Tensor] = []
        hook = self.net.act1.register_forward_hook(lambda _, inputs, h: h.register_hook(seen.append) and None)
        try:
            for held in attached.feedback.values() if rule.learned else ():
                held.data = torch.randn(held.shape, generator=self.rng, dtype=torch.float64)
            attached.targets = self.y
            attached.loss(self.loss(self.net(self.x))).backward()
            return seen[0] * len(self.x), {name: b.detach().double() for name, b in attached.feedback.items()}
        finally:
            hook.remove()
            attached.detach()


def rules(settings: Unification, seed: int) -> dict[str, tuple[fa.Rule, tuple[str, ...], str]]:
    """{column: (the library's rule, the blocks that it excludes, the name of the matrix A)}."""
    return {
        "sg": (SyntheticGradient(at="hidden1"), (), ""),
        "sgprop": (SyntheticGradientPropagation(at="hidden1", alpha=settings.alpha), (), ""),
        "bp": (fa.Backpropagation(), (), ""),
        "dfa": (fa.DirectFeedbackAlignment(seed=seed), (), "hidden1"),
        "fa": (fa.FeedbackAlignment(seed=seed), ("top",), "hidden2"),
        "kickback": (Kickback(), (), "hidden1"),
    }


def differences(settings: Unification, seed: int) -> dict[str, float]:
    """The largest difference of every column to the library's rule, and the number of wrong flags."""
    problem = Problem(settings, seed)
    h, errors = problem.errors()
    found, wrong = {}, 0
    for name, column in columns(settings.alpha).items():
        rule, ungoverned, matrix = rules(settings, seed)[name]
        delivered, feedback = problem.delivered(rule, ungoverned)
        if rule.learned:
            theta = {key.rsplit(".", 1)[-1]: b for key, b in feedback.items()}
        else:
            theta = {"A": feedback[matrix] if matrix else torch.eye(settings.width, dtype=torch.float64)}
        if name == "fa":
            theta["A"] = theta["A"].T  # B has the shape of W, which maps h to g from the left
        found[f"difference/{name}"] = (signal(column, h, problem.y, errors, theta) - delivered).abs().max().item()
        wrong += sum(a != b for a, b in zip(flags(column, rule.learned, h, problem.y, theta), FLAGS[name], strict=True))
    return {**found, "wrong_flags": float(wrong), "kickback_softmax": kickback_softmax(settings, seed)}


def kickback_softmax(settings: Unification, seed: int) -> float:
    """The largest signal that Kickback's column gives under softmax and cross-entropy."""
    problem = Problem(settings, seed)
    h, errors = problem.errors()
    p = torch.softmax(problem.net(problem.x).detach(), dim=1)
    e = p - one_hot(problem.y.argmax(dim=1), settings.outputs)
    ones = {"A": torch.ones(settings.width, settings.outputs, dtype=torch.float64)}
    return signal(columns(0.0)["kickback"], h, problem.y, errors._replace(p=e), ones).abs().max().item()


def train(session: Session, run: Run) -> dict[str, float]:
    """Compare the columns with the library on one random network; returns the numbers that the claims need."""
    found = differences(run.settings, run.seed)
    with logged(session, run) as send:
        send(0, found)
    return found
