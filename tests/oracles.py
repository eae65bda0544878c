"""Every rule once more, written from its equations in float64 numpy: loops, no autograd, nothing of ``lightning_fa``.

Rows are samples: ``h[0] = x``, ``a[l] = h[l-1] W[l]^T + b[l]``, ``h[l] = tanh(a[l])``, the last layer
is linear, ``e = (softmax(a[k]) - y) / n``. Lists run over layers 1..k from index 0, ``h`` from the input.

A new rule adds one function ``deltas(s)`` that returns delta of every layer, and one row in ``ORACLES``, which also says what
the rule is by nature unlike the others in. ``tests/cases.py`` reads that, and the contract demands it.
"""

# ruff: noqa: E741 (l is the letter of the papers)
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = list[Array]
Feedback = dict[str, Arrays]
"""By letter, the empty one for a rule with one: an array per layer, or per hidden layer."""


class Step(NamedTuple):
    """What the equations of one training step may use."""

    W: Arrays
    B: Feedback
    h: Arrays
    e: Array
    y: Array
    """One-hot."""
    t: int = 0
    """The number of steps before this one."""


def softmax(a: Array) -> Array:
    z = np.exp(a - a.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def slope(h: Array) -> Array:
    """tanh'(a), of h = tanh(a)."""
    return 1 - h**2


# -- transport: another matrix in place of W, layer by layer --------------------------------------------------------------


def carried_by(carriers: Arrays, s: Step) -> Arrays:
    """A matrix per layer in the shape of W, the first of them unused: nothing travels below the first layer."""
    delta = [s.e]
    for l in range(len(s.W) - 1, 0, -1):
        delta.insert(0, (delta[0] @ carriers[l]) * slope(s.h[l]))
    return delta


def backpropagation(s: Step) -> Arrays:
    return carried_by(s.W, s)


def feedback_alignment(s: Step) -> Arrays:
    return carried_by(s.B[""], s)


def uniform_sign_symmetry(s: Step) -> Arrays:
    """Xiao et al. 2018 in BioTorch: one magnitude per layer, the spread of Glorot's initialisation."""
    return carried_by([np.sign(w) * np.sqrt(2 / (w.shape[0] + w.shape[1])) for w in s.W], s)


def batch_random_sign_symmetry(s: Step) -> Arrays:
    """|M_t| ~ U(0, sqrt(6/(m + n))), new in every step."""
    carriers = []
    for w, stream in zip(s.W, s.B["stream"]):
        M = hashed(stream, s.t, w.size).reshape(w.shape) * np.sqrt(6 / (w.shape[0] + w.shape[1]))
        carriers.append(M * np.sign(w))
    return carried_by(carriers, s)


def fixed_random_sign_symmetry(s: Step) -> Arrays:
    return carried_by([np.abs(M) * np.sign(w) for M, w in zip(s.B[""], s.W)], s)


def pseudobackpropagation(s: Step) -> Arrays:
    return carried_by([np.linalg.pinv(w).T for w in s.W], s)


def kolen_pollack_lessons(s: Step, delta: Arrays) -> Feedback:
    """The gradient of B is that of W."""
    return {"": [d.T @ h for d, h in zip(delta, s.h)]}


def weight_mirror_lessons(s: Step, delta: Arrays) -> Feedback:
    """B - mean_k (W xi_k) xi_k^T over 32 samples of noise with unit variance, uniform in +-sqrt(3)."""
    lessons = []
    for w, B, stream in zip(s.W, s.B[""], s.B["stream"]):
        noise = (2 * hashed(stream, s.t, 32 * w.shape[1]).reshape(32, -1) - 1) * np.sqrt(3)
        lessons.append(B - sum(np.outer(w @ xi, xi) for xi in noise) / 32)
    return {"": lessons}


def hashed(stream: Array, t: int, count: int) -> Array:
    """The random numbers of step ``t`` as :mod:`lightning_fa.stream` defines them, here in 32-bit words that wrap around."""
    key, other = np.uint32(stream[0]), np.uint32(stream[1])
    with np.errstate(over="ignore"):
        start = mixed(mixed(np.uint32(t) ^ key) + other)
        bits = mixed(np.arange(count, dtype=np.uint32) ^ start)
        return (mixed(bits + key) >> np.uint32(8)) / 2.0**24


def mixed(x: Any) -> Any:
    """Wellons' finaliser "lowbias32"."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


# -- direct: the output error straight to every layer ---------------------------------------------------------------------


def direct_feedback_alignment(s: Step) -> Arrays:
    return [(s.e @ B.T) * slope(h) for B, h in zip(s.B[""], s.h[1:])] + [s.e]


def sign_direct_feedback_alignment(s: Step) -> Arrays:
    return [*direct_feedback_alignment(s._replace(e=np.sign(s.e) / len(s.e)))[:-1], s.e]


def sparse_direct_feedback_alignment(s: Step) -> Arrays:
    assert all((np.count_nonzero(B, axis=1) == 1).all() for B in s.B[""])
    return direct_feedback_alignment(s)


def low_rank_direct_feedback_alignment(s: Step) -> Arrays:
    assert all(np.linalg.matrix_rank(B, tol=1e-5 * np.linalg.norm(B, 2)) <= 4 for B in s.B[""])
    return direct_feedback_alignment(s)


def direct_kolen_pollack_lessons(s: Step, delta: Arrays) -> Feedback:
    return {"": [h.T @ s.e for h in s.h[1:-1]]}


def kickback(s: Step) -> Arrays:
    return [s.e.sum(axis=1, keepdims=True) * slope(h) for h in s.h[1:-1]] + [s.e]


def indirect_feedback_alignment(s: Step) -> Arrays:
    delta = [(s.e @ s.B[""][0].T) * slope(s.h[1])]
    for l in range(1, len(s.W) - 1):
        delta.append((delta[-1] @ s.W[l].T) * slope(s.h[l + 1]))
    return [*delta, s.e]


def last_layer_only(s: Step) -> Arrays:
    return [np.zeros_like(h) for h in s.h[1:-1]] + [s.e]


# -- local: no error from above -------------------------------------------------------------------------------------------


def linear_aligned_feedback(s: Step) -> Arrays:
    """Gilmer et al. 2017, eq. 9: e^i = softmax((B^i)^T h^i) - y takes the place of e."""
    delta = []
    for B, h in zip(s.B[""], s.h[1:-1]):
        e_l = (softmax(h @ B) - s.y) / len(s.y)
        delta.append((e_l @ B.T) * slope(h))
    return [*delta, s.e]


def shared_output_local_learning(s: Step) -> Arrays:
    """Yin et al. 2026, eq. 2 with heads that hold nothing: softmax(W z) - y, with W the head's and z of root mean square 1."""
    W, projections, delta = s.W[-1], iter(s.B.get("P", [])), []
    for h in s.h[1:-1]:
        rms = np.sqrt((h**2).mean(axis=1, keepdims=True) + 1e-6)
        z = h / rms
        readout = W.T if h.shape[1] == W.shape[1] else next(projections) @ W.T
        at_z = (softmax(z @ readout) - s.y) / len(s.y) @ readout.T
        delta.append((at_z - z * (at_z * z).mean(axis=1, keepdims=True)) / rms * slope(h))
    return [*delta, s.e]


def direct_random_target_projection(s: Step) -> Arrays:
    return [(s.y @ B.T) / len(s.y) * slope(h) for B, h in zip(s.B[""], s.h[1:])] + [s.e]


def cosines(x: Array) -> tuple[Array, Array, Array]:
    """S, and the centred rows of ``x`` as directions and lengths."""
    x = x - x.mean(axis=1, keepdims=True)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / length) @ (x / length).T, x / length, length


def local_loss(h: Array, P: Array, p: Array, Q: Array, y: Array) -> tuple[Array, Feedback]:
    """0.01 CE(P h + p, y) + 0.99 mean |S(Q h) - S(y)|^2: its gradients at h, and at P, p and Q."""
    n = len(h)
    d = 0.01 * (softmax(h @ P.T + p) - y) / n
    S, direction, length = cosines(h @ Q.T)
    at_direction = 0.99 * 4 * (S - cosines(y)[0]) @ direction / n**2  # S is symmetric: twice
    across = at_direction - direction * (at_direction * direction).sum(axis=1, keepdims=True)
    at_z = across / length
    at_z = at_z - at_z.mean(axis=1, keepdims=True)
    return d @ P + at_z @ Q, {"P": [d.T @ h], "p": [d.sum(axis=0)], "Q": [at_z.T @ h]}


def local_losses(s: Step) -> Arrays:
    theta = zip(s.B["P"], s.B["p"], s.B["Q"])
    return [local_loss(h, *t, s.y)[0] * slope(h) for h, t in zip(s.h[1:], theta)] + [s.e]


def local_lessons(s: Step, delta: Arrays) -> Feedback:
    theta = zip(s.B["P"], s.B["p"], s.B["Q"])
    each = [local_loss(h, *t, s.y)[1] for h, t in zip(s.h[1:], theta)]
    return {letter: [lesson[letter][0] for lesson in each] for letter in ("P", "p", "Q")}


# -- synthetic: a prediction of the error, bootstrapped from the layer above ------------------------------------------------


def predictions(s: Step, alpha: float) -> tuple[Arrays, Arrays]:
    """From the top: every delta, and every 2 (SG(h, y) - t) per sample, where SG(h, y) = hA + yB + C."""
    n, delta, gaps = len(s.y), [s.e], []
    for l in range(len(s.W) - 2, -1, -1):
        A, h = s.B["A"][l], s.h[l + 1]
        prediction = h @ A + s.y @ s.B["B"][l] + s.B["C"][l]
        target = n * delta[0] @ s.W[l + 1]
        gaps.insert(0, 2 * (prediction - target))
        delta.insert(0, (prediction + alpha * gaps[0] @ A.T) / n * slope(h))
    return delta, gaps


def synthetic_gradient(s: Step) -> Arrays:
    return predictions(s, 0)[0]


def synthetic_gradient_propagation(s: Step) -> Arrays:
    return predictions(s, 1)[0]


def prediction_lessons(alpha: float) -> Callable[[Step, Arrays], Feedback]:
    """The gradients of the mean over samples of |SG(h, y) - t|^2."""

    def lessons(s: Step, delta: Arrays) -> Feedback:
        gaps = [gap / len(s.y) for gap in predictions(s, alpha)[1]]
        return {
            "A": [h.T @ gap for h, gap in zip(s.h[1:], gaps)],
            "B": [s.y.T @ gap for gap in gaps],
            "C": [gap.sum(axis=0) for gap in gaps],
        }

    return lessons


class Oracle(NamedTuple):
    """The equations of a rule, and what a user has to know about it."""

    deltas: Callable[[Step], Arrays]
    lessons: Callable[[Step, Arrays], Feedback] | None = None
    """(step, delta) -> the gradient of B, where feedback is learned."""
    control: bool = False
    """Equals backpropagation."""
    targets: bool = False
    """Reads the targets."""
    joins: bool = False
    """Needs ``attached.loss``."""
    linear: bool = True
    """Linear in e: the gradient of a sum of losses is the sum of the gradients."""
    stochastic: bool = False
    """Draws anew in every forward pass, from a stream of its own."""
    changes_forward: bool = False
    """Masks the weights, and is compared with the plain network of masked weights."""
    no_hidden_gradient: bool = False
    """Hidden layers are frozen."""
    separable: Mapping[str, Any] = {}
    """Settings under which the hidden layers' loss of a batch is the mean over its samples."""
    sized_by_output: bool = False
    """Learns feedback whose size depends on the blocks' outputs: an example tells it where these are no vectors."""
    silent: bool = False
    """Begins with a prediction of zero, so that hidden layers do not move in the first step."""
    drawing: Mapping[str, Any] = {}
    """Settings under which the seed decides about something."""
    independent_outputs: bool = False
    """Needs a loss whose e does not sum to zero over the outputs, as that of softmax with cross-entropy does."""
    common: bool = False
    """Hands all units of a layer the same error, of which a normalisation over these units leaves nothing."""
    passes_every_block: bool = False
    """Sends the error through the hidden layers, from below: all of them must have a gradient."""
    refuses: Mapping[str, str] = {}
    """Problem -> the error on it."""
    jumps: bool = False
    """Not continuous in e: an error that is zero but for rounding may be delivered in another way."""
    copies: str | None = None
    """Letter of a copy of the head's weight, which every pass makes; blocks as wide as the head's input draw nothing then."""
    inverts: bool = False
    """Inverts W, so that rounding is multiplied by its condition number."""
    decay: float | None = None
    """Feedback is the running average of its lessons, with this weight of the past."""


ORACLES = {
    "bp": Oracle(backpropagation, control=True),
    "fa": Oracle(feedback_alignment),
    "usf": Oracle(uniform_sign_symmetry),
    "brsf": Oracle(batch_random_sign_symmetry, stochastic=True),
    "frsf": Oracle(fixed_random_sign_symmetry),
    "kp": Oracle(feedback_alignment, kolen_pollack_lessons),
    "wm": Oracle(feedback_alignment, weight_mirror_lessons, joins=True, stochastic=True),
    "pbp": Oracle(pseudobackpropagation, inverts=True),
    "fa_sparse": Oracle(feedback_alignment, changes_forward=True),
    "dfa": Oracle(direct_feedback_alignment),
    "lafs": Oracle(linear_aligned_feedback, targets=True, joins=True, linear=False),
    "solo": Oracle(shared_output_local_learning, targets=True, joins=True, linear=False, copies="W"),
    "dfa_sign": Oracle(sign_direct_feedback_alignment, joins=True, linear=False, jumps=True),
    "dfa_sparse": Oracle(sparse_direct_feedback_alignment),
    "dfa_lowrank": Oracle(low_rank_direct_feedback_alignment),
    "dkp": Oracle(direct_feedback_alignment, direct_kolen_pollack_lessons, sized_by_output=True),
    "ebd": Oracle(direct_feedback_alignment, direct_kolen_pollack_lessons, sized_by_output=True, decay=0.99999),
    "ifa": Oracle(
        indirect_feedback_alignment,
        passes_every_block=True,
        refuses={"cnn": "the size changes", "residual": "must be one Linear or convolution"},
    ),
    "kickback": Oracle(kickback, independent_outputs=True, common=True),
    "shallow": Oracle(last_layer_only, no_hidden_gradient=True),
    "drtp": Oracle(direct_random_target_projection, targets=True, joins=True, linear=False),
    "local": Oracle(
        local_losses,
        local_lessons,
        targets=True,
        joins=True,
        linear=False,
        separable={"loss": "pred"},  # the similarity of samples is a matter of pairs
        sized_by_output=True,
    ),
    "sg": Oracle(
        synthetic_gradient,
        prediction_lessons(0),
        targets=True,
        joins=True,
        linear=False,
        sized_by_output=True,
        silent=True,
        drawing={"predictor": "mlp"},
    ),
    "sgprop": Oracle(
        synthetic_gradient_propagation,
        prediction_lessons(1),
        targets=True,
        joins=True,
        linear=False,
        sized_by_output=True,
        silent=True,
        drawing={"predictor": "mlp"},
    ),
}

CONTROLS = [rule for rule, oracle in ORACLES.items() if oracle.control]
OTHERS = [rule for rule, oracle in ORACLES.items() if not oracle.control]


def train(
    rule: str, W: Arrays, b: Arrays, B: Feedback, batches: list[tuple[Array, Array]], lr: float
) -> tuple[Arrays, Arrays, Feedback]:
    """Plain SGD, one step per batch of inputs and classes; returns W, b, B.

    On the mean cross-entropy, or where the rule needs independent outputs on the mean binary cross-entropy.
    """
    W, b, k = [w.copy() for w in W], [v.copy() for v in b], len(W)
    B = {letter: [array.copy() for array in arrays] for letter, arrays in B.items()}
    oracle = ORACLES[rule]
    masks = B.get("mask", [np.ones_like(w) for w in W])
    for t, (x, classes) in enumerate(batches):
        W = [w * mask for w, mask in zip(W, masks)]
        h = [x]
        for l in range(k):
            a = h[l] @ W[l].T + b[l]
            h.append(a if l == k - 1 else np.tanh(a))
        y = np.eye(W[-1].shape[0])[classes]
        e = (sigmoid(h[k]) - y) / y.size if oracle.independent_outputs else (softmax(h[k]) - y) / len(x)
        step = Step(W, B, h, e, y, t)
        delta = oracle.deltas(step)
        lessons = oracle.lessons(step, delta) if oracle.lessons else {}
        for letter, arrays in lessons.items():
            past, now = (1, -lr) if oracle.decay is None else (oracle.decay, 1 - oracle.decay)
            B = {**B, letter: [past * array + now * lesson for array, lesson in zip(B[letter], arrays)]}
        if oracle.copies:
            B = {**B, oracle.copies: [W[-1]] * (k - 1), "passes": [passes + 1 for passes in B["passes"]]}
        b = [b[l] - lr * delta[l].sum(axis=0) for l in range(k)]
        W = [W[l] - lr * masks[l] * (delta[l].T @ h[l]) for l in range(k)]
    return W, b, B
