"""Time per step of a network of the paper's largest depth, relative to plain PyTorch."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lightning_fa as fa
from lightning_fa.rules import SyntheticGradient
from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.experiment.without_trainer import logged
from replications.papers.czarnecki2017.network import stack
from replications.papers.czarnecki2017.settings import StepTime

RULES: dict[str, Callable[[int], fa.Rule | None]] = {
    "bp": lambda depth: None,
    "sg-mid": lambda depth: SyntheticGradient(at=f"hidden{depth // 2}"),
    "sg-all": lambda depth: SyntheticGradient(),
    "dfa": lambda depth: fa.DirectFeedbackAlignment(),
}
INPUTS, OUTPUTS, STEPS = 784, 10, 2


def step_of(rule: fa.Rule | None, settings: StepTime) -> Callable[[Tensor, Tensor], None]:
    """A function that makes one training step, from forward pass to optimiser, of a new network."""
    net: nn.Module = stack(INPUTS, settings.width, settings.depth, OUTPUTS, "relu", norm=True)
    attached = fa.attach(net, rule) if rule else None
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=3e-5, fused=True)

    def step(x: Tensor, y: Tensor) -> None:
        if attached:
            attached.targets = y
        loss = cross_entropy(net(x), y)
        optimizer.zero_grad()
        (attached.loss(loss) if attached else loss).backward()
        optimizer.step()

    return step


def train(session: Session, run: Run) -> dict[str, float]:
    """Medians of the time per step over rounds in which all rules take turns.

    It is the process's own computing time, which other processes lengthen less than wall time.
    """
    settings: StepTime = run.settings
    x, y = torch.rand(settings.batch_size, INPUTS), torch.randint(OUTPUTS, (settings.batch_size,))
    steps = {name: step_of(rule(settings.depth), settings) for name, rule in RULES.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    with logged(session, run) as send:
        for round_ in range(settings.rounds + 1):
            for name, step in steps.items():
                begun = time.process_time()
                for _ in range(STEPS):
                    step(x, y)
                if round_:  # the first round warms up
                    times[name].append((time.process_time() - begun) / STEPS)
            if round_:
                send(round_, {f"seconds/{name}": taken[-1] for name, taken in times.items()})
    metrics = {f"milliseconds/{name}": 1000 * median(taken) for name, taken in times.items()}
    for name in steps:
        pairs = zip(times[name], times["bp"], strict=True)
        metrics[f"ratio/{name}"] = median(ours / plain for ours, plain in pairs)
    return metrics
