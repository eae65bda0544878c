"""Hand-written training steps of a tanh MLP: the cost of each rule's equations in plain PyTorch, without autograd.

A step is a function of the layers ``[(W, b), ...]``, the rule's feedback, and a batch. It stores gradients in ``.grad``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from benchmarks.time.nets import Case, Step

Layer = tuple[nn.Parameter, nn.Parameter]
slope = torch.ops.aten.tanh_backward
"""(d, h) -> d * (1 - h * h)."""


def forward(layers: Sequence[Layer], x: Tensor) -> tuple[list[Tensor], Tensor]:
    """The list of the input and all hidden activations, and the logits."""
    hs = [x]
    for weight, bias in layers[:-1]:
        hs.append(F.linear(hs[-1], weight, bias).tanh_())
    return hs, F.linear(hs[-1], *layers[-1])


def error(logits: Tensor, y: Tensor) -> Tensor:
    """The gradient of the mean cross-entropy at the logits."""
    return (logits.softmax(1) - F.one_hot(y, logits.shape[1])) / len(y)


def learn(layer: Layer, delta: Tensor, h: Tensor) -> None:
    layer[0].grad, layer[1].grad = delta.T @ h, delta.sum(0)


def direct(layers: Sequence[Layer], held: Sequence[Tensor], x: Tensor, y: Tensor) -> None:
    hs, logits = forward(layers, x)
    e = error(logits, y)
    learn(layers[-1], e, hs[-1])
    for layer, b, h, below in zip(layers, held, hs[1:], hs):
        learn(layer, slope(e @ b.T, h), below)


def aligned(layers: Sequence[Layer], held: Sequence[Tensor], x: Tensor, y: Tensor) -> None:
    hs, logits = forward(layers, x)
    learn(layers[-1], error(logits, y), hs[-1])
    for layer, b, h, below in zip(layers, held, hs[1:], hs):
        learn(layer, slope(error(h @ b, y) @ b.T, h), below)


def targets(layers: Sequence[Layer], held: Sequence[Tensor], x: Tensor, y: Tensor) -> None:
    hs, logits = forward(layers, x)
    learn(layers[-1], error(logits, y), hs[-1])
    wanted = F.one_hot(y, logits.shape[1]).to(logits.dtype) / len(y)
    for layer, b, h, below in zip(layers, held, hs[1:], hs):
        learn(layer, slope(wanted @ b.T, h), below)


def transport(layers: Sequence[Layer], held: Sequence[Tensor], x: Tensor, y: Tensor) -> None:
    hs, logits = forward(layers, x)
    delta = error(logits, y)
    for i in reversed(range(len(layers))):
        learn(layers[i], delta, hs[i])
        if i:
            delta = slope(delta @ held[i], hs[i])


def signs(layers: Sequence[Layer], held: Sequence[Tensor], x: Tensor, y: Tensor) -> None:
    transport(layers, [w.sign() * (2 / sum(w.shape)) ** 0.5 for w, _ in layers], x, y)


def learned_transport(layers: Sequence[Layer], held: Sequence[Tensor], x: Tensor, y: Tensor) -> None:
    transport(layers, held, x, y)
    for (weight, _), b in zip(layers, held):
        b.grad = weight.grad


def synthetic(layers: Sequence[Layer], held: Sequence[dict[str, Tensor]], x: Tensor, y: Tensor) -> None:
    hs, logits = forward(layers, x)
    labels = F.one_hot(y, logits.shape[1]).to(logits.dtype)
    above = error(logits, y)
    learn(layers[-1], above, hs[-1])
    for i in reversed(range(len(held))):
        theta, h = held[i], hs[i + 1]
        d = torch.addmm(theta["C"], h, theta["A"]).addmm_(labels, theta["B"]).div_(len(y))
        lesson = 2 * (d - above @ layers[i + 1][0])
        theta["A"].grad, theta["B"].grad, theta["C"].grad = h.T @ lesson, labels.T @ lesson, lesson.sum(0)
        above = slope(d, h)
        learn(layers[i], above, hs[i])


FLOORS: dict[str, Callable[..., None]] = {
    "bp": transport,
    "dfa": direct,
    "lafs": aligned,
    "drtp": targets,
    "fa": transport,
    "usf": signs,
    "kp": learned_transport,
    "sg": synthetic,
}
"""{rule: the step that computes the rule's gradients}."""


def floor(case: Case, rule: str, *, compiled: bool = False) -> tuple[nn.Module, Step]:
    """The network, and a function that makes the hand-written step with the rule's feedback."""
    net, x, y = case.build()
    attached = fa.attach(net, rule, example=x[:2])
    linears = [module for module in net.modules() if isinstance(module, nn.Linear)]
    layers = [(module.weight, module.bias) for module in linears]
    held = held_by(rule, net, attached.feedback, layers)
    optimizer, equations = torch.optim.SGD(net.parameters(), lr=1e-4), FLOORS[rule]
    run: Any = torch.compile(equations, fullgraph=True) if compiled else equations

    def step() -> None:
        optimizer.zero_grad()  # as in the other ways: a gradient written into new memory costs page faults
        with torch.no_grad():
            run(layers, held, x, y)
        optimizer.step()

    return net, step


def held_by(rule: str, net: nn.Module, feedback: dict[str, Tensor], layers: Sequence[Layer]) -> list[Any]:
    """The rule's feedback of every layer, in order from the input."""
    names = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    if rule == "sg":
        return [{letter: feedback[f"{name}.{letter}"] for letter in "ABC"} for name in names[:-1]]
    if rule == "bp":
        return [weight for weight, _ in layers]
    if rule in ("fa", "kp"):
        return [feedback.get(name) for name in names]
    return [] if rule == "usf" else [feedback[name] for name in names[:-1]]
