"""Blocks that one forward pass calls several times: every call's output receives its projection, and gradients add up."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.cases import speak
from tests.problems import distance, read

Cut = Callable[[str, Tensor], Tensor]


class Siamese(nn.Module):
    """One encoder for two inputs; its last activation stands inside of it."""

    chosen = None
    blocks = ("f.0", "f.2", "head")

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.ReLU(inplace=True))
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.f(x[:, 0]), self.f(x[:, 1])], 1))

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        parts = [cut("f.2", F.relu(self.f[2](cut("f.0", torch.tanh(self.f[0](each)))))) for each in (x[:, 0], x[:, 1])]
        return self.head(torch.cat(parts, 1))

    @staticmethod
    def batch() -> tuple[Tensor, Tensor]:
        return torch.randn(7, 2, 4), torch.randint(3, (7,))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.top = nn.Linear(4, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.top(torch.tanh(self.low(x))))


class Named(Siamese):
    """As above, with an encoder of one's own, whose activations are no modules; its layers are named."""

    chosen = ("f.low", "f.top", "head")
    blocks = chosen

    def __init__(self) -> None:
        super().__init__()
        self.f = Encoder()

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        f, parts = self.f, []
        for each in (x[:, 0], x[:, 1]):
            parts.append(cut("f.top", torch.tanh(f.top(cut("f.low", torch.tanh(f.low(each)))))))
        return self.head(torch.cat(parts, 1))


class Cells(nn.Module):
    """A cell in a loop of one's own, whose last state is scored."""

    chosen = None
    blocks = ("proj.0", "cell", "head")

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
        self.cell, self.head = nn.RNNCell(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        p, h = self.proj(x), x.new_zeros(len(x), 5)
        for t in range(x.shape[1]):
            h = self.cell(p[:, t], h)
        return self.head(h)

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        p, h = cut("proj.0", self.proj(x)), x.new_zeros(len(x), 5)
        for t in range(x.shape[1]):
            h = cut("cell", self.cell(p[:, t], h))
        return self.head(h)

    @staticmethod
    def batch() -> tuple[Tensor, Tensor]:
        return torch.randn(7, 4, 4), torch.randint(3, (7,))


class Mix(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read, self.write = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return torch.tanh(self.read(source).mean(1, keepdim=True) + self.write(target))


class Shared(nn.Module):
    """One embedding for what a sequence-to-sequence network reads and writes, as in Lightning's demo."""

    chosen = ("embedding", "mix", "decoder")
    blocks = chosen

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.mix, self.decoder = nn.Embedding(20, 6), Mix(), nn.Linear(6, 20)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.mix(2 * self.embedding(x[0]), 2 * self.embedding(x[1])))

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        source, target = (2 * cut("embedding", self.embedding(ids)) for ids in x)
        return self.decoder(cut("mix", self.mix(source, target)))

    @staticmethod
    def batch() -> tuple[Tensor, Tensor]:
        return torch.randint(20, (2, 7, 4)), torch.randint(20, (7, 4))


NETS = [Siamese, Named, Cells, Shared]
RULES = {
    "dfa": fa.DirectFeedbackAlignment(),
    "lafs": fa.LinearAlignedFeedback(),
    "drtp": fa.DirectRandomTargetProjection(),
    "local": fa.LocalLosses(loss="pred"),
    "sg": fa.SyntheticGradient(spatial="dense"),
    "dkp": fa.DirectKolenPollack(),
}
every_net = pytest.mark.parametrize("net", NETS)


def attached_to(net, rule, dtype=torch.float64):
    """The network, its twin without the rule, a batch, and the rule."""
    torch.manual_seed(5)
    model = net().to(dtype)
    x, y = net.batch()
    x = x.to(dtype) if x.is_floating_point() else x
    plain = copy.deepcopy(model)
    attached = fa.attach(model, rule, blocks=net.chosen, example=x)
    assert attached.config()["blocks"] == list(net.blocks)
    return model, plain, x, y, attached


def held_by(attached: fa.Attached, name: str) -> list[Tensor]:
    """What block ``name`` holds, in the order of the letters."""
    keys = sorted(
        k for k in attached.feedback if k == name or (k.startswith(f"{name}.") and k[len(name) + 1 :] in "ABCPp")
    )
    return [attached.feedback[key] for key in keys]


def theta_of(attached: fa.Attached, name: str) -> list[Tensor]:
    return [b.detach().clone().requires_grad_() for b in held_by(attached, name)]


def expected(plain, x, y, attached, kind):
    """Gradients by hand: every cut output is a leaf for what is above it, and receives what the rule's equation says."""
    cuts: list[tuple[str, Tensor, Tensor]] = []

    def cut(name: str, h: Tensor) -> Tensor:
        leaf = h.detach().clone().requires_grad_()
        cuts.append((name, h, leaf))
        return leaf

    out = plain.explicit(x, cut)
    rows = y.numel() if out.ndim > 2 else len(y)
    out.retain_grad()
    F.cross_entropy(out.flatten(0, -2), y.flatten()).backward()
    e, classes = out.grad.reshape(rows, -1), y.reshape(rows)
    theta = {name: theta_of(attached, name) for name in attached.config()["blocks"][:-1]}
    onehot = F.one_hot(classes, e.shape[1]).to(e.dtype)
    for name, h, _ in cuts:
        # dense where the output scores samples: the whole output of a sample is a row
        flat, held = h.reshape(rows, -1), theta[name]
        if kind in ("dfa", "dkp"):
            flat.backward(e @ held[0].detach().T, retain_graph=True)
        elif kind == "lafs":
            F.cross_entropy(flat @ held[0].detach(), classes).backward(retain_graph=True)
        elif kind == "drtp":
            (flat * (onehot @ held[0].detach().T)).sum().div(rows).backward(retain_graph=True)
        elif kind == "local":
            # the units of a sequence are its channels, which P reads first
            seen = h.mT.reshape(rows, -1) if h.ndim == 3 and out.ndim == 2 else flat
            F.cross_entropy(F.linear(seen, *held), classes).backward(retain_graph=True)
        elif kind == "sg":
            A, B, C = held  # what is predicted counts per sample
            flat.backward((flat @ A + onehot @ B + C).detach() / len(h), retain_graph=True)
    if kind == "sg":
        for name, h, leaf in cuts:
            A, B, C = theta[name]
            s = h.detach().reshape(rows, -1) @ A + onehot @ B + C
            s.backward(2 * (s.detach() / len(h) - leaf.grad.reshape(rows, -1)))
    if kind == "dkp":  # the gradient of B is h^T e
        for name, h, _ in cuts:
            lesson = h.detach().reshape(rows, -1).T @ e
            theta[name][0].grad = lesson if theta[name][0].grad is None else theta[name][0].grad + lesson
    lessons = {name: [t.grad for t in held if t.grad is not None] for name, held in theta.items()}
    return read(plain), lessons


def learned(attached: fa.Attached, name: str) -> list[Tensor]:
    return [b.grad for b in held_by(attached, name) if b.grad is not None]


@every_net
@pytest.mark.parametrize("kind", RULES)
def test_every_call_receives_its_projection(net, kind):
    """A call without one would be left out, and one that is handed the true error would be backpropagation."""
    model, plain, x, y, attached = attached_to(net, RULES[kind])
    speak(attached)
    attached.targets = y
    out = model(x)
    assert torch.equal(out.detach(), plain(x).detach())
    attached.loss(F.cross_entropy(out.flatten(0, -2), y.flatten())).backward()
    ours = {name: g for name, g in read(model).items() if "_feedback" not in name}
    theirs, lessons = expected(plain, x, y, attached, kind)
    assert ours.keys() == theirs.keys()
    for name, g in ours.items():
        assert theirs[name].norm() > 0
        assert distance(g, theirs[name]) < 1e-12, name
    for name, wanted in lessons.items():
        for g, w in zip(learned(attached, name), wanted, strict=True):
            assert distance(g, w) < 1e-12, name


def step(model, attached, x, y):
    attached.targets = y
    attached.loss(F.cross_entropy(model(x), y)).backward()
    return {name: g for name, g in read(model).items() if "_feedback" not in name}


class Memory(Cells):
    """An LSTM's cell returns its memory beside its state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        p, state = self.proj(x), None
        for t in range(x.shape[1]):
            state = self.cell(p[:, t], state)
        return self.head(state[0])

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        p, state = cut("proj.0", self.proj(x)), None
        for t in range(x.shape[1]):
            h, memory = self.cell(p[:, t], state)
            state = cut("cell", h), memory.detach()
        return self.head(state[0])


def test_what_a_block_returns_beside_its_output_carries_no_error():
    """The memory of an LSTM would hand the true gradient from one call to the one before."""
    model, plain, x, y, attached = attached_to(Memory, "dfa")
    ours, (theirs, _) = step(model, attached, x, y), expected(plain, x, y, attached, "dfa")
    assert all(distance(g, theirs[name]) < 1e-12 for name, g in ours.items())


class Reads(Cells):
    """Every state is read by a layer, and is what the cell is called with next."""

    blocks = ("proj.0", "cell", "each", "head")

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        p, h, z = self.proj(x), x.new_zeros(len(x), 5), 0
        for t in range(x.shape[1]):
            h = self.cell(p[:, t], h)
            z = z + torch.tanh(self.each(h))
        return self.head(z)

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        p, h, z = cut("proj.0", self.proj(x)), x.new_zeros(len(x), 5), 0
        for t in range(x.shape[1]):
            h = cut("cell", self.cell(p[:, t], h))
            z = z + torch.tanh(cut("each", self.each(h)))
        return self.head(z)


def test_a_state_that_another_block_reads_in_every_step_carries_no_error_through_time():
    """A cell that feeds the next block and itself is no link of a chain."""
    model, plain, x, y, attached = attached_to(Reads, "dfa")
    ours, (theirs, _) = step(model, attached, x, y), expected(plain, x, y, attached, "dfa")
    assert all(distance(g, theirs[name]) < 1e-12 for name, g in ours.items())


def test_a_sequence_of_another_length_has_the_same_feedback():
    """B belongs to the cell and not to the number of its calls."""
    model, _, _, y, attached = attached_to(Memory, fa.DirectFeedbackAlignment(spatial="shared"))
    before = attached.feedback["cell"].clone()
    longer = torch.randn(7, 6, 4, dtype=torch.float64)
    step(model, attached, longer, y)
    assert torch.equal(attached.feedback["cell"], before)


class Twins(nn.Module):
    """A whole network that is called twice: two passes, each with an error of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, 0]) - self.net(x[:, 1])


@pytest.mark.parametrize("with_example", [False, True])
@pytest.mark.parametrize("rule", ["dfa", "ifa"])
def test_a_network_that_is_called_twice_makes_two_passes(rule, with_example):
    """An example must not turn what works without it into another rule."""
    torch.manual_seed(2)
    model, (x, y) = Twins(), Siamese.batch()
    attached = fa.attach(model, rule, example=x if with_example else None)
    step(model, attached, x, y)
    a, b = model.net(x[:, 0]), model.net(x[:, 1])
    B, first = attached.feedback["net.0"], model.net[0]
    (e,) = torch.autograd.grad(F.cross_entropy((out := (a - b).detach().requires_grad_()), y), out)
    wanted = 0
    for sign, each in ((1, x[:, 0]), (-1, x[:, 1])):
        h = torch.tanh(F.linear(each, first.weight, first.bias))
        wanted = wanted + (sign * e @ B.T * (1 - h**2)).T @ each
    assert distance(first.weight.grad, wanted) < 1e-5


@pytest.mark.parametrize(("net", "name"), [(Siamese, "f.2"), (Cells, "cell")])
def test_a_warm_up_counts_forward_passes_and_not_calls(net, name):
    """Else a predictor of a cell would be trusted after a few steps of one sequence."""
    rule = fa.SyntheticGradient(spatial="dense", warm_up=2)
    model, plain, x, y, attached = attached_to(net, rule)
    speak(attached)
    for passes in range(1, 4):
        model.zero_grad()
        before = attached.state_dict()
        ours = step(model, attached, x, y)
        assert attached.state_dict()["feedback"][f"{name}.steps"] == passes
        assert before["feedback"][f"{name}.steps"] == passes - 1
        plain.zero_grad()
        if passes > 2:
            (theirs, _) = expected(plain, x, y, attached, "sg")
        else:  # the true gradient
            F.cross_entropy(plain(x), y).backward()
            theirs = read(plain)
        assert all(distance(g, theirs[key]) < 1e-12 for key, g in ours.items())
