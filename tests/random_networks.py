"""Networks that nobody wrote, and what must hold on each of them.

    python -m tests.random_networks [--count 5000] [--seed 0]

prints the number of networks and every kind of finding with the smallest network that showed it. Hypothesis draws them.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import Gradients, own
from tests.random_search import main

Grown = tuple[nn.Module, int]
"""A module and the number of features that it returns."""
ROUNDING = 1e-9
"""Of the largest gradient; float64 has 2e-16, and a few hundred sums and a norm's division lie between."""


class Standardised(nn.Linear):
    """A subclass with a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight - self.weight.mean(1, keepdim=True), self.bias)


class Plus(nn.Module):
    """A residual unit, whose sum may be made in place."""

    def __init__(self, inner: nn.Module, in_place: bool) -> None:
        super().__init__()
        self.inner, self.in_place = inner, in_place

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x)
        return h.add_(x) if self.in_place else x + h


class Attention(nn.Module):
    """Self-attention over positions."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(width, heads, bias=bias, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x, x, x, need_weights=False)[0]


class Head(nn.Module):
    """Scores, of every position or of the mean over them."""

    def __init__(self, width: int, outputs: int, over: tuple[int, ...]) -> None:
        super().__init__()
        self.over, self.scores = over, nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x.mean(self.over) if self.over else x)


@dataclass
class Net:
    """What was drawn. ``owned``: whether a layer has a forward of its own, which transport rules refuse."""

    model: nn.Sequential
    x: Tensor
    y: Tensor
    owned: bool

    def loss(self, model: nn.Module) -> Tensor:
        output = model(self.x)
        return F.cross_entropy(output.reshape(-1, output.shape[-1]), self.y)

    def copy(self) -> nn.Sequential:
        return copy.deepcopy(self.model)

    def __repr__(self) -> str:
        frozen = [name for name, p in self.model.named_parameters() if not p.requires_grad]
        return f"x {tuple(self.x.shape)}, frozen {frozen}: {self.model}"


KINDS = {"vector": 1, "rows": 2, "positions": 3, "signal": 3, "grid": 4, "image": 4}
"""Kind of the input -> number of its dimensions."""


@st.composite
def networks(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(KINDS)) -> Net:
    """A network in float64 with its batch. A vector is one sample without a batch dimension."""
    kind = draw(st.sampled_from(kinds))
    channels = kind in ("signal", "image")
    width = draw(st.integers(1, 7))
    sizes = [draw(st.integers(1, 5)) for _ in range(KINDS[kind] - (1 if kind == "vector" else 2))]
    batch = draw(st.integers(2, 5))
    shape = [width, *sizes] if channels else [*sizes, width]
    shape = [width] if kind == "vector" else [batch, *shape]
    with torch.random.fork_rng():
        torch.manual_seed(draw(st.integers(0, 2**16)))
        x = torch.randn(shape, dtype=torch.float64)
        layers, owned = [], False
        for _ in range(draw(st.integers(1, 4))):
            layer, width, own_forward = draw(units(kind, width))
            layers.append(layer)
            owned |= own_forward
            if draw(st.booleans()):
                layers.append(draw(st.sampled_from(ACTIVATIONS))())
        over = tuple(range(2, x.ndim)) if channels else tuple(range(1, x.ndim - 1))
        outputs = draw(st.integers(2, 5))
        over = over if channels or draw(st.booleans()) else ()
        model = nn.Sequential(*layers, Head(width, outputs, over)).double()
        rows = 1 if kind == "vector" else batch if over or x.ndim == 2 else x.shape[:-1].numel()
        y = torch.randint(outputs, (rows,))
    for layer in layers:
        if draw(st.integers(0, 5)) == 0:
            layer.requires_grad_(False)
    return Net(model, x, y, owned)


ACTIVATIONS = (nn.Tanh, nn.ReLU, nn.GELU, nn.Sigmoid, lambda: nn.ReLU(inplace=True), lambda: nn.LeakyReLU(inplace=True))


@st.composite
def units(draw: st.DrawFn, kind: str, width: int) -> tuple[nn.Module, int, bool]:
    """One unit: a layer, a norm and a layer, a residual unit, attention."""
    after, bias = draw(st.integers(1, 7)), draw(st.booleans())
    layer, own_forward = _layer(draw, kind, width, after, bias)
    what = draw(st.sampled_from(("layer", "normed", "residual", "attention", "inside")))
    if what == "normed":
        return nn.Sequential(layer, _norm(draw, kind, after)), after, own_forward
    if what == "residual":
        back, other = _layer(draw, kind, after, width, bias)
        activation = draw(st.sampled_from(ACTIVATIONS))()
        return Plus(nn.Sequential(layer, activation, back), draw(st.booleans())), width, own_forward or other
    if what == "attention" and kind == "positions":
        heads = draw(st.sampled_from([h for h in (1, 2, 3) if width % h == 0]))
        return Attention(width, heads, bias), width, False
    if what == "inside":  # an activation in place on what the layer returns
        return nn.Sequential(layer, draw(st.sampled_from(ACTIVATIONS))()), after, own_forward
    return layer, after, own_forward


def _layer(draw: st.DrawFn, kind: str, width: int, after: int, bias: bool) -> tuple[nn.Module, bool]:
    if kind in ("signal", "image"):
        convolution = nn.Conv1d if kind == "signal" else nn.Conv2d
        groups = draw(st.sampled_from([g for g in range(1, 8) if width % g == 0 and after % g == 0]))
        size = draw(st.sampled_from((1, 3)))
        return convolution(width, after, size, padding=size // 2, groups=groups, bias=bias), False
    own_forward = draw(st.integers(0, 9)) == 0
    return (Standardised if own_forward else nn.Linear)(width, after, bias=bias), own_forward


def _norm(draw: st.DrawFn, kind: str, width: int) -> nn.Module:
    if kind == "image":
        return draw(st.sampled_from((nn.BatchNorm2d(width), nn.GroupNorm(1, width))))
    if kind == "signal":
        return draw(st.sampled_from((nn.BatchNorm1d(width), nn.GroupNorm(1, width))))
    return nn.BatchNorm1d(width) if kind == "rows" and draw(st.booleans()) else nn.LayerNorm(width)


# -- what must hold -------------------------------------------------------------------------------------------------------


def gradients(model: nn.Module, loss: Tensor) -> Gradients:
    loss.backward()
    return own({name: p.grad for name, p in model.named_parameters() if p.grad is not None})


def near(ours: Gradients, expected: Gradients) -> None:
    """To rounding of the largest; a gradient that is zero by theory, as of a bias before a norm, has no other scale."""
    zero = torch.zeros((), dtype=torch.float64)
    largest = max((g.norm() for g in expected.values()), default=zero)
    for name in ours.keys() | expected.keys():
        apart = ours.get(name, zero) - expected.get(name, zero)
        assert apart.norm() <= ROUNDING * largest, f"{name}: {apart.norm() / largest:.1e} of the largest gradient"


def the_control_equals_autograd(net: Net) -> None:
    plain, model = net.copy(), net.copy()
    attached = fa.attach(model, "bp")
    expected, loss = net.loss(plain), net.loss(model)
    assert torch.equal(loss, expected), "another forward pass"
    near(gradients(model, attached.loss(loss)), gradients(plain, expected))


def transport_of_the_true_weights_equals_autograd(net: Net) -> None:
    """Feedback alignment with B = W is backpropagation, layer by layer."""
    plain, model = net.copy(), net.copy()
    attached = fa.attach(model, "fa")
    for name, b in attached.feedback.items():
        parameters = dict(plain.named_parameters())
        b.copy_(parameters[name if name in parameters else f"{name}.weight"].detach())
    expected, loss = net.loss(plain), net.loss(model)
    assert torch.equal(loss, expected), "another forward pass"
    near(gradients(model, loss), gradients(plain, expected))


def pieces(net: Net) -> tuple[list[nn.Module], list[str]]:
    """The network cut where the next weights begin, and the names of the modules that begin a piece."""
    parts: list[list[nn.Module]] = []
    names = []
    for name, child in net.model.named_children():
        if any(p.ndim > 1 for p in child.parameters()):
            parts.append([])
            names.append(name)
        parts[-1].append(child)
    return [nn.Sequential(*part) for part in parts], names


def direct_rules_equal_detached_pieces(net: Net, rule: str = "dfa") -> None:
    """Each piece on a detached input, its output handed B e (dfa), or its own readout's error (lafs), or nothing."""
    model, plain = net.copy(), Net(net.copy(), net.x, net.y, net.owned)
    parts, names = pieces(plain)
    for part in parts[:-1] if rule == "shallow" else ():
        part.requires_grad_(False)  # PyTorch's attention rounds otherwise where nothing is to be differentiated
    attached = fa.attach(model, rule, blocks=names, example=net.x)
    if rule == "lafs" and len(names) % 2:
        attached._wiring.step.settles = "always"  # else the smallest of networks would keep all graphs
    attached.targets = net.y
    loss = net.loss(model)
    ours = gradients(model, attached.loss(loss))
    h, below = net.x, []
    for part in parts[:-1]:
        h = part(h.detach())
        below.append(h)
    output = parts[-1](h.detach())
    expected = F.cross_entropy(output.reshape(-1, output.shape[-1]), net.y)
    assert torch.equal(loss, expected), "another forward pass"
    e = torch.autograd.grad(expected, output, retain_graph=True)[0]
    for name, h in zip(names, below):
        per_position = h.shape[:-1] == output.shape[:-1]
        rows = h.reshape(-1, h.shape[-1]) if per_position else h.flatten(1)
        if not h.requires_grad:
            continue
        B = attached.feedback[name]
        if rule == "dfa":
            rows.backward((e.reshape(-1, e.shape[-1]) if per_position else e.flatten(1)) @ B.T)
        else:
            scores = rows @ B
            classes = scores if per_position else scores.reshape(-1, output.shape[-1])
            F.cross_entropy(classes, net.y).backward()
    near(ours, gradients(plain.model, expected))


def forward_and_detach_are_bitwise(net: Net) -> None:
    plain = net.copy()
    expected = net.loss(plain)
    true = gradients(plain, expected)
    for rule in ("fa", "usf", "dfa", "drtp") if not net.owned else ("bp", "dfa", "drtp"):
        model = net.copy()
        attached = fa.attach(model, rule, blocks=pieces(net)[1])
        attached.targets = net.y
        assert torch.equal(net.loss(model), expected), rule
        attached.detach()
        model.load_state_dict(net.model.state_dict())  # running statistics
        again = gradients(model, net.loss(model))
        assert again.keys() == true.keys()
        assert all(torch.equal(again[name], true[name]) for name in true), rule


def trains(net: Net) -> bool:
    """Whether plain PyTorch trains it: not where all is frozen, or an activation in place overwrites what another saved."""
    plain = net.copy()
    try:
        net.loss(plain).backward()
    except RuntimeError:
        return False
    return True


def check(net: Net) -> None:
    """All of it, as far as the network has it."""
    if not trains(net):
        return
    the_control_equals_autograd(net)
    if not net.owned:
        transport_of_the_true_weights_equals_autograd(net)
    if net.x.ndim > 1:
        direct_rules_equal_detached_pieces(net, "dfa")
        scored = (len(net.y) == len(net.x) and net.x.ndim == 2) or len(net.y) == net.x.shape[:-1].numel()
        if scored or len(net.y) == len(net.x):
            direct_rules_equal_detached_pieces(net, "lafs")
        direct_rules_equal_detached_pieces(net, "shallow")
        forward_and_detach_are_bitwise(net)


if __name__ == "__main__":
    sys.exit(main(__doc__, networks(), check, 5000))
