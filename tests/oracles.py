"""Every rule once more, written from its equations in float64 numpy: loops, no autograd, nothing of ``lightning_fa``.

Notation of spec 0.1, rows being samples: ``h[0] = x``, ``a[l] = h[l-1] W[l]^T + b[l]``, ``h[l] = tanh(a[l])``, the last layer
is linear, ``e = (softmax(a[k]) - y) / n``. Lists run over layers 1..k from index 0, ``h`` from the input.

A new rule adds one function ``deltas(W, B, h, e, y)`` that returns delta of every layer, and one row in ``ORACLES``.
"""

# ruff: noqa: E741 (l is the letter of the papers)
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Arrays = list[Array]


def softmax(a: Array) -> Array:
    z = np.exp(a - a.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def slope(h: Array) -> Array:
    """tanh'(a), of h = tanh(a)."""
    return 1 - h**2


def backpropagation(W: Arrays, B: Arrays, h: Arrays, e: Array, y: Array) -> Arrays:
    delta = [e]
    for l in range(len(W) - 1, 0, -1):
        delta.insert(0, (delta[0] @ W[l]) * slope(h[l]))
    return delta


def feedback_alignment(W: Arrays, B: Arrays, h: Arrays, e: Array, y: Array) -> Arrays:
    """B has one matrix per layer, the first of them unused: nothing travels below the first layer."""
    delta = [e]
    for l in range(len(W) - 1, 0, -1):
        delta.insert(0, (delta[0] @ B[l]) * slope(h[l]))
    return delta


def direct_feedback_alignment(W: Arrays, B: Arrays, h: Arrays, e: Array, y: Array) -> Arrays:
    return [(e @ B[l].T) * slope(h[l + 1]) for l in range(len(W) - 1)] + [e]


def linear_aligned_feedback(W: Arrays, B: Arrays, h: Arrays, e: Array, y: Array) -> Arrays:
    """Gilmer et al. 2017, eq. 9: e^i = softmax((B^i)^T h^i) - y takes the place of e."""
    delta = []
    for l in range(len(W) - 1):
        e_l = (softmax(h[l + 1] @ B[l]) - y) / len(y)
        delta.append((e_l @ B[l].T) * slope(h[l + 1]))
    return [*delta, e]


class Oracle(NamedTuple):
    """The equations of a rule, and what a user has to know about it."""

    deltas: Callable[[Arrays, Arrays, Arrays, Array, Array], Arrays]
    lessons: Callable[[Arrays, Arrays, Arrays, Arrays], Arrays] | None = None
    """(W, B, h, delta) -> the gradient of B, where feedback is learned."""
    control: bool = False
    """Equals backpropagation."""
    targets: bool = False
    """Reads the targets."""
    joins: bool = False
    """Needs ``attached.loss``."""
    linear: bool = True
    """Linear in e: the gradient of a sum of losses is the sum of the gradients."""


ORACLES = {
    "bp": Oracle(backpropagation, control=True),
    "fa": Oracle(feedback_alignment),
    "dfa": Oracle(direct_feedback_alignment),
    "lafs": Oracle(linear_aligned_feedback, targets=True, joins=True, linear=False),
}

CONTROLS = [rule for rule, oracle in ORACLES.items() if oracle.control]
OTHERS = [rule for rule, oracle in ORACLES.items() if not oracle.control]


def train(
    rule: str, W: Arrays, b: Arrays, B: Arrays, batches: list[tuple[Array, NDArray[np.int64]]], lr: float
) -> tuple[Arrays, Arrays, Arrays]:
    """Plain SGD on the mean cross-entropy, one step per batch of inputs and classes; returns W, b, B."""
    W, b, B, k = [w.copy() for w in W], [v.copy() for v in b], [w.copy() for w in B], len(W)
    oracle = ORACLES[rule]
    for x, classes in batches:
        h = [x]
        for l in range(k):
            a = h[l] @ W[l].T + b[l]
            h.append(a if l == k - 1 else np.tanh(a))
        y = np.eye(W[-1].shape[0])[classes]
        e = (softmax(h[k]) - y) / len(x)
        delta = oracle.deltas(W, B, h, e, y)
        if oracle.lessons:
            B = [B_l - lr * lesson for B_l, lesson in zip(B, oracle.lessons(W, B, h, delta))]
        for l in range(k):
            W[l] -= lr * delta[l].T @ h[l]
            b[l] -= lr * delta[l].sum(axis=0)
    return W, b, B
