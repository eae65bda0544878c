"""Proposition 2 and corollary 1: a deep linear network that is updated only while its SG tracks the true gradient."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

import lightning_fa as fa
from lightning_fa.rules import SyntheticGradient
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import logged
from replications.papers.czarnecki2017.artificial import gaussian, generator
from replications.papers.czarnecki2017.settings import Tracking

OUTPUTS = 3
TRACKED = 1 / 3  # (1 - delta) / (1 + delta) at delta = 1/2


class Moment(NamedTuple):
    """One iteration: the loss, whether the condition of proposition 2 holds, and the cosine of the step to the gradient."""

    loss: float
    tracked: bool
    cosine: float


class System:
    """A deep linear network with the library's SG in its middle, and a plain network that shares its weights."""

    def __init__(self, settings: Tracking, seed: int) -> None:
        rng = generator(seed + 1)
        self.x = gaussian(settings.dimensions, settings.samples, seed).double()
        self.y = torch.randn(settings.samples, OUTPUTS, generator=rng, dtype=torch.float64)
        self.y += self.x @ torch.randn(settings.dimensions, OUTPUTS, generator=rng, dtype=torch.float64)
        widths = [settings.dimensions, *[settings.width] * (settings.below + settings.above - 1), OUTPUTS]
        self.net = nn.Sequential(*(nn.Linear(a, b, bias=False).double() for a, b in pairwise(widths)))
        for layer in self.net:
            nn.init.eye_(layer.weight)
            layer.weight.data += 0.1 * torch.randn(layer.weight.shape, generator=rng, dtype=torch.float64)
        self.below = settings.below
        self.plain = copy.deepcopy(self.net)
        for ours, theirs in zip(self.net, self.plain):
            theirs.weight = ours.weight
        self.weights = [layer.weight for layer in self.net]
        self.tap = str(settings.below - 1)
        self.attached = fa.attach(self.net, SyntheticGradient(at=self.tap))
        for held in self.attached.feedback.values():
            held.data = held.data.double()

    @property
    def optimum(self) -> float:
        """The smallest loss of a linear model. The network is wide enough to reach this loss."""
        readout = torch.linalg.lstsq(self.x, self.y).solution
        return self.loss(self.x @ readout).item()

    def loss(self, p: Tensor) -> Tensor:
        """Half the squared error, the mean over samples."""
        return (p - self.y).square().sum() / 2 / len(p)

    def reach(self) -> Tensor:
        """K, a bound on the norm of dh/dtheta for the weights below, from the norms of the factors of each term."""
        terms = []
        for i in range(self.below):
            before, after = self.x, torch.eye(self.net[i].out_features, dtype=torch.float64)
            for layer in self.net[:i]:
                before = before @ layer.weight.T
            for layer in self.net[i + 1 : self.below]:
                after = layer.weight @ after
            terms.append(torch.linalg.matrix_norm(before, 2) * torch.linalg.matrix_norm(after, 2))
        return torch.stack(terms).norm()

    def visit(self, rate: float) -> Moment:
        """One iteration: a step of the network if SG tracks the gradient, and a step of the SG module by line search."""
        h = self.plain[: self.below](self.x)
        true_loss = self.loss(self.plain[self.below :](h))
        *true, g = torch.autograd.grad(true_loss, [*self.weights, h])
        theta = {name.rsplit(".", 1)[-1]: held for name, held in self.attached.feedback.items()}
        with torch.no_grad():
            noise = (self.attached.rule.predict(h, self.y, theta) / len(h) - g).norm()  # type: ignore[attr-defined]
            tracked = noise * self.reach() <= TRACKED * _norm(true[: self.below])
        for parameter in self.net.parameters():
            parameter.grad = None
        self.attached.targets = self.y
        self.attached.loss(self.loss(self.net(self.x))).backward()
        taken = [w.grad for w in self.weights]
        cosine = sum((a * b).sum() for a, b in zip(taken, true)) / (_norm(taken) * _norm(true))
        with torch.no_grad():
            self._fit(h.detach(), g, theta)
            if tracked:
                for weight, step in zip(self.weights, taken):
                    weight -= rate * step
        return Moment(true_loss.item(), bool(tracked), cosine.item())

    def _fit(self, h: Tensor, g: Tensor, theta: dict[str, Tensor]) -> None:
        predict = self.attached.rule.predict  # type: ignore[attr-defined]
        gradient = {letter: held.grad for letter, held in theta.items()}
        change = predict(h, self.y, gradient)  # SG is linear in theta
        error = predict(h, self.y, theta) - len(h) * g
        if change.any():
            step = (error * change).sum() / change.square().sum()
            for letter, held in theta.items():
                held -= step * gradient[letter]


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([t.norm() for t in tensors]).norm()


def train(session: Session, run: Run) -> dict[str, float]:
    """Train with the condition of proposition 2; returns the distance from the optimum and statistics of the steps."""
    settings: Tracking = run.settings
    system = System(settings, run.seed)
    best, cosines, applied = system.optimum, [], 0
    with logged(session, run) as send:
        for step in range(settings.steps):
            moment = system.visit(settings.learning_rate)
            applied += moment.tracked
            if moment.tracked and moment.loss - best > 1e-14:  # below this gap the directions are rounding errors
                cosines.append(moment.cosine)
            if step % max(1, settings.steps // 200) == 0:
                send(step, {"gap": moment.loss - best, "tracked": float(moment.tracked), "cosine": moment.cosine})
    gap = system.loss(system.plain(system.x)).item() - best
    return {"gap": gap, "least_cosine": min(cosines, default=float("nan")), "applied": applied / settings.steps}
