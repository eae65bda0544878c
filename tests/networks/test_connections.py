"""Connections that pass blocks by, ways beside each other and second heads: no true gradient may use them to go down."""

import copy
import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.equations.test_repeated_blocks import Cut, expected
from tests.problems import distance, read


def unit(fan_in: int, fan_out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """What goes down comes up beside: every way down is handed to the unit that comes up to its size."""

    blocks = ("down.0", "low.0", "middle.0", "up.0", "out")

    def __init__(self) -> None:
        super().__init__()
        self.down, self.low, self.middle, self.up = unit(2, 3), unit(3, 4), unit(4, 4), unit(11, 5)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down(x)
        b = self.low(F.max_pool2d(a, 2))
        c = self.middle(b)
        return self.out(
            self.up(torch.cat([a, *(F.interpolate(each, scale_factor=2) for each in (b, c))], 1)).mean((2, 3))
        )

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        a = cut("down.0", self.down(x))
        b = cut("low.0", self.low(F.max_pool2d(a, 2)))
        c = cut("middle.0", self.middle(b))
        both = [F.interpolate(each, scale_factor=2) for each in (b, c)]
        return self.out(cut("up.0", self.up(torch.cat([a, *both], 1)).mean((2, 3))))

    @staticmethod
    def batch() -> tuple[Tensor, Tensor]:
        return torch.randn(5, 2, 4, 4), torch.randint(3, (5,))


class Added(nn.Module):
    """What the first block returns is added to the head's output."""

    blocks = ("a", "b", "c")

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        return self.c(torch.tanh(self.b(torch.tanh(h)))) + h

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        h = cut("a", self.a(x))
        return self.c(cut("b", torch.tanh(self.b(torch.tanh(h))))) + h

    @staticmethod
    def batch() -> tuple[Tensor, Tensor]:
        return torch.randn(5, 4), torch.randint(4, (5,))


class Beside(nn.Module):
    """Two ways from the input to the head."""

    blocks = ("a", "b", "c")

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(4, 5), nn.Linear(11, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.cat([self.a(x), self.b(x)], 1))

    def explicit(self, x: Tensor, cut: Cut) -> Tensor:
        return self.c(torch.cat([cut("a", self.a(x)), cut("b", self.b(x))], 1))

    batch = Added.batch


def prepared(net, rule, **settings):
    torch.manual_seed(5)
    model = net().double()
    x, y = net.batch()
    x = x.double()
    return model, copy.deepcopy(model), x, y, fa.attach(model, rule, **settings)


def step(model, attached, x, y):
    attached.targets = y
    attached.loss(F.cross_entropy(model(x), y)).backward()
    return {name: g for name, g in read(model).items() if "_feedback" not in name}


@pytest.mark.parametrize("net", [UNet, Added, Beside])
@pytest.mark.parametrize(
    ("kind", "rule"), [("dfa", "dfa"), ("lafs", "lafs"), ("sg", fa.SyntheticGradient(spatial="dense"))]
)
@pytest.mark.parametrize("named", [False, True])
def test_with_an_example_a_connection_carries_no_error(net, kind, rule, named):
    """Each block's output receives its own projection, and nothing from the places to which it is handed beside."""
    torch.manual_seed(5)
    model = net().double()
    x, y = net.batch()
    x, plain = x.double(), copy.deepcopy(model)
    attached = fa.attach(model, rule, blocks=net.blocks if named else None, example=x)
    assert attached.config()["blocks"] == list(net.blocks)
    ours, (theirs, _) = step(model, attached, x, y), expected(plain, x, y, attached, kind)
    assert ours.keys() == theirs.keys()
    assert all(distance(g, theirs[name]) < 1e-12 for name, g in ours.items() if theirs[name].any())
    assert all(torch.equal(g, theirs[name]) for name, g in ours.items() if not theirs[name].any())
    assert kind == "sg" or all(g.any() for g in ours.values())


@pytest.mark.parametrize("net", [UNet, Beside])
def test_without_an_example_the_error_names_the_argument_that_makes_it_run(net):
    """Whoever pastes it trains by the rule."""
    model, _, x, y, attached = prepared(net, "dfa")
    with pytest.raises(RuntimeError, match=r"true gradient leaks|on parallel paths") as error:
        model(x)
    attached.detach()
    argument = re.search(r"Pass `(\w+=)`, an input of the model, to `attach`", str(error.value))[1]
    attached = eval(f"fa.attach(model, 'dfa', {argument}x)", {"fa": fa, "model": model, "x": x})
    assert all(g.any() for g in step(model, attached, x, y).values())


class Translator(nn.Module):
    """The decoder begins at the state of the encoder, whose outputs are not used."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = (nn.LSTM(4, 4, batch_first=True) for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, source, target):
        _, state = self.encoder(source)
        return self.head(self.decoder(target, state)[0])


@pytest.mark.parametrize("rule", ["dfa", "lafs", "sg"])
def test_a_state_handed_on_ends_in_an_error_whose_advice_trains_all(rule):
    """The error asked for an example, which was there."""
    torch.manual_seed(0)
    net, x, y = Translator(), (torch.randn(2, 5, 4), torch.randn(2, 6, 4)), torch.randint(3, (2, 6))
    with pytest.raises(RuntimeError, match=r"such as the state of an LSTM\. Name") as error:
        fa.attach(net, rule, example=x)
    assert "example" not in str(error.value)
    name = re.search(r"Name '(\w+)' in `ungoverned=`", str(error.value))[1]
    attached = fa.attach(net, rule, example=x, ungoverned=name)
    with torch.no_grad():
        for b in attached.feedback.values():
            b.normal_()  # synthetic gradients begin at zero
    attached.targets = y
    attached.loss(nn.functional.cross_entropy(net(*x).flatten(0, 1), y.flatten())).backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_a_rule_that_needs_a_chain_says_so():
    """Indirect feedback follows the blocks one after the other."""
    with pytest.raises(ValueError, match="needs a chain, and `forward` calls a several times, or hands"):
        prepared(Added, "ifa", example=Added.batch()[0].double())


class Distilled(nn.Module):
    """Two heads, whose outputs are averaged, as EfficientFormer's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Linear(4, 6), nn.LayerNorm(6)
        self.head, self.head_dist = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(torch.tanh(self.a(x)))
        return (self.head(h) + self.head_dist(h)) / 2


def pasted(error) -> str:
    return re.search(r"ungoverned=\[[^]]*\]", str(error.value))[0]


def test_of_two_heads_the_error_names_the_one_to_leave_out():
    """What is pasted trains: both heads by the true error, and what is below by the projected one alone."""
    torch.manual_seed(4)
    model, x, y = Distilled().double(), torch.randn(5, 4).double(), torch.randint(3, (5,))
    plain = copy.deepcopy(model)
    with pytest.raises(ValueError, match="several heads: what head returns goes into no other block") as error:
        fa.attach(model, "dfa", example=x)
    attached = eval(f"fa.attach(model, 'dfa', example=x, {pasted(error)})", {"fa": fa, "model": model, "x": x})
    ours = step(model, attached, x, y)
    h = plain.a(x)
    z = plain.norm(torch.tanh(h.detach()))
    out = plain.head_dist(z)
    (e,) = torch.autograd.grad(F.cross_entropy((plain.head(z) + out) / 2, y), out, retain_graph=True)
    h.backward(e @ attached.feedback["a"].T)
    F.cross_entropy((plain.head(z) + out) / 2, y).backward()
    assert all(distance(g, read(plain)[name]) < 1e-12 for name, g in ours.items())


class Classified(nn.Module):
    """Two heads, each with an output of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 5)
        self.kind, self.colour = nn.Linear(5, 2), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.b(torch.tanh(self.a(x))))
        return self.kind(h), self.colour(h)


def test_a_head_that_is_left_out_learns_and_hands_no_true_error_to_the_blocks_below():
    """Half of the trunk's gradient would be backpropagation's, of another task, and the table would call it the rule's."""
    torch.manual_seed(5)
    model, x = Classified().double(), torch.randn(5, 4).double()
    kinds, colours = torch.randint(2, (5,)), torch.randint(3, (5,))
    attached = fa.attach(model, "dfa", example=x, ungoverned="kind")
    assert re.search(r"none of the rule's: ungoverned.*", str(attached))

    def gradients(share: float) -> dict[str, Tensor]:
        model.zero_grad()
        kind, colour = model(x)
        (F.cross_entropy(colour, colours) + share * F.cross_entropy(kind, kinds)).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    alone, both = gradients(0), gradients(1)
    assert all(alone[name].equal(both[name]) for name in alone if not name.startswith("kind"))
    assert both["kind.weight"].norm() > 0 == alone["kind.weight"].norm()


@pytest.mark.slow
def test_efficientformer_runs_with_what_the_error_names():
    """Of timm, unmodified."""
    timm = pytest.importorskip("timm")
    model, x = timm.create_model("efficientformer_l1", num_classes=3), torch.randn(2, 3, 224, 224)
    rule = fa.DirectFeedbackAlignment(spatial="shared")
    with pytest.raises(ValueError, match="several heads") as error:
        fa.attach(model, rule, example=x)
    attached = eval(
        f"fa.attach(model, rule, example=x, {pasted(error)})", {"fa": fa, "model": model, "x": x, "rule": rule}
    )
    F.cross_entropy(model(x), torch.tensor([0, 1])).backward()
    assert len(attached.config()["blocks"]) > 10
    assert all(g.norm() > 0 for name, g in read(model).items() if g.ndim > 1)


class Auto(nn.Module):
    """A variational autoencoder: two layers read one, and both enter the next."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.mean, self.spread, self.decode = (
            nn.Linear(4, 6),
            nn.Linear(6, 2),
            nn.Linear(6, 2),
            nn.Linear(2, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.encode(x))
        return self.decode(self.mean(h) + torch.exp(self.spread(h)))


def test_every_one_of_two_layers_beside_each_other_receives_its_own_projection():
    """As blocks in a row the first of them would learn by the second one's error, under its own name."""
    torch.manual_seed(4)
    model, x = Auto().double(), torch.randn(5, 4).double()
    attached = fa.attach(model, "dfa", example=x)
    out = model(x)
    out.retain_grad()
    F.mse_loss(out, x).backward()
    h = torch.tanh(model.encode(x)).detach()
    for name in ("mean", "spread"):
        delta = out.grad @ attached.feedback[name].T
        assert distance(model.get_submodule(name).weight.grad, delta.T @ h) < 1e-12


class Pyramid(nn.Module):
    """A block that returns two tensors, made by weights of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Linear(4, 6), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.fine(x), self.coarse(x)


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.pyramid, self.head = nn.Linear(4, 4), Pyramid(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        fine, coarse = self.pyramid(self.first(x))
        again = self.pyramid(x)[0]
        return self.head(fine + coarse + again)


def test_weights_that_no_error_reaches_are_named():
    """They would stay as they were drawn."""
    with pytest.raises(ValueError, match=r"Block 'pyramid' returns several tensors.*coarse\.weight, coarse\.bias"):
        fa.attach(Joined(), "dfa", blocks=["first", "pyramid", "head"], example=torch.randn(5, 4))
