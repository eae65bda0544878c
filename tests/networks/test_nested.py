"""Networks inside modules of one's own: blocks go down into chains as far as the cut is proven, and no further."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import Residual, distance, gradients, read


def blocks(attached: fa.Attached) -> list[str]:
    return attached.config()["blocks"]


class Chain(nn.Module):
    """A user's encoder."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(torch.tanh(self.first(x))))


class Attention(nn.Module):
    """A residual unit."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.out(torch.tanh(self.query(h)))


class Bert(nn.Module):
    """As transformers' own: tables in front, units in a list of an encoder's own, a pooler, and a dictionary of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({"word": nn.Embedding(20, 6), "position": nn.Embedding(9, 6)})
        self.encoder = Encoder()
        self.pooler = nn.Linear(6, 6)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        h = self.embeddings["word"](ids) + self.embeddings["position"](torch.arange(ids.shape[1]))
        h = self.encoder(mask=mask, hidden=h)
        return {"hidden": h, "pooled": torch.tanh(self.pooler(h[:, 0]))}


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Attention(), Attention(), Attention()])

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        for unit in self.layer:
            hidden = unit(hidden)
        return hidden


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bert, self.classifier = Bert(), nn.Linear(6, 3)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        return {"logits": self.classifier(self.bert(ids, mask)["pooled"])}


class Nested(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


def test_a_chain_of_ones_own_is_cut_at_its_layers():
    """An encoder as one block learns by backprop but for its output, and its accuracy would be published as DFA's."""
    model, x, y = Nested(Chain()), torch.randn(5, 4), torch.randint(3, (5,))
    attached = fa.attach(model, "dfa", example=x)
    assert blocks(attached) == ["encoder.first", "encoder.second", "head"]
    out = model(x)
    out.retain_grad()
    F.cross_entropy(out, y).backward()
    first = model.encoder.first
    h = torch.tanh(F.linear(x, first.weight, first.bias))
    delta = (out.grad @ attached.feedback["encoder.first"].T) * (1 - h**2)
    assert distance(first.weight.grad, delta.T @ x) < 1e-6


def test_without_an_example_the_choice_is_by_structure():
    """What only a forward pass could show must not be guessed."""
    assert blocks(fa.attach(Nested(Chain()), "dfa")) == ["encoder", "head"]


def test_a_transformer_in_containers_of_its_own_is_cut_at_its_units():
    """76 of BERT's 77 weights learn by backprop where it is one block."""
    model, ids = Classifier(), torch.randint(20, (2, 7))
    attached = fa.attach(model, "dfa", example={"ids": ids, "mask": torch.ones(2, 7)})
    units = [f"bert.encoder.layer.{i}" for i in range(3)]
    assert blocks(attached) == [*units, "bert.pooler", "classifier"]
    F.cross_entropy(model(ids)["logits"], torch.tensor([0, 1])).backward()
    assert all(g.norm() > 0 for g in read(model).values())
    assert read(model).keys() == dict(model.named_parameters()).keys()
    ours = read(model)
    attached.detach()
    model.zero_grad()
    F.cross_entropy(model(ids)["logits"], torch.tensor([0, 1])).backward()
    assert all(distance(g, ours[name]) > 0.1 for name, g in read(model).items() if name.startswith("bert"))


class Sometimes(nn.Module):
    """A unit with a skip path where the widths agree, as MobileNet's."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(fan_in, 8), nn.Linear(8, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        h = self.down(torch.relu(self.up(x)))
        return x + h if x.shape == h.shape else h


class Twice(nn.Module):
    """Calls a layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(torch.tanh(self.again(self.first(x))))


class Parallel(nn.Module):
    """Two branches that meet."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 6), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.left(x) * self.right(x)


class Bypassed(nn.Module):
    """Residual in the data itself, which has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.tanh(self.first(x)))


WHOLE = {
    "a layer called twice": (lambda: Nested(Twice()), 4, ["encoder", "head"]),
    "branches": (lambda: Nested(Parallel()), 4, ["encoder", "head"]),
    "a residual unit over the data": (lambda: Nested(Bypassed()), 6, ["encoder", "head"]),
    "units of one class, one with a skip path": (
        lambda: nn.Sequential(Sometimes(4, 6), Sometimes(6, 6), nn.Linear(6, 3)), 4, ["0", "1", "2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
def test_what_is_no_chain_stays_one_block(case):
    """A cut inside of it would leave a path of the true gradient, or treat units of one class differently."""
    build, width, expected = WHOLE[case]
    model = build()
    example = torch.randn(2, width)
    assert blocks(fa.attach(model, "dfa", example=example)) == expected


def test_networks_that_were_cut_well_are_cut_the_same_with_an_example():
    """The same seed and network must go on to mean the same experiment."""
    models = pytest.importorskip("torchvision.models")
    x = torch.randn(1, 3, 64, 64)
    for name in ("resnet18", "mobilenet_v2", "efficientnet_b0", "mnasnet0_5", "squeezenet1_0", "densenet121"):
        model = getattr(models, name)(num_classes=3)
        chosen = blocks(fa.attach(model, fa.DirectFeedbackAlignment(spatial="shared"), example=x))
        plain = getattr(models, name)(num_classes=3)
        assert chosen == blocks(fa.attach(plain, "dfa")), name
    assert blocks(fa.attach(Residual(), "dfa", example=torch.randn(2, 3, 6, 6))) == [
        "stem",
        "units.0",
        "units.1",
        "head",
    ]


def test_the_look_at_the_example_leaves_no_trace():
    """Hooks, statistics or gradients left behind would be another network than the one that was handed over."""
    model, x, y = Nested(Chain()), torch.randn(5, 4), torch.randint(3, (5,))
    before = gradients(model, (x, y))
    model.zero_grad(set_to_none=True)
    state = torch.get_rng_state()
    attached = fa.attach(model, "dfa", example=x)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    attached.detach()
    after = gradients(model, (x, y))
    assert all(torch.equal(after[name], before[name]) for name in before)


class Reversed(nn.Module):
    """Registers its layers from the output to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.b, self.a = nn.Linear(6, 3), nn.Linear(6, 6), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))


@pytest.mark.parametrize("rule", ["dfa", "sg", "local"])
def test_the_order_of_blocks_is_the_users(rule):
    """Sorted by registration, the only advice of the error could not be followed."""
    for named in (["a", "b", "c"], "modules"):
        model, x, y = Reversed(), torch.randn(5, 4), torch.randint(3, (5,))
        attached = fa.attach(model, rule, blocks=[model.a, model.b, model.c] if named == "modules" else named)
        assert blocks(attached) == ["a", "b", "c"]
        attached.targets = y
        attached.loss(F.cross_entropy(model(x), y)).backward()
        assert set(dict(model.c.named_parameters())) == {"weight", "bias"}  # no feedback: it is the head


def test_the_automatic_order_is_that_of_the_calls_where_an_example_shows_it():
    """The last block is the head: in the order of registration the first layer would be given the true error."""
    model, x = Reversed(), torch.randn(5, 4)
    attached = fa.attach(model, "dfa", example=x)
    assert blocks(attached) == ["a", "b", "c"]
    attached.detach()
    with pytest.raises(ValueError, match=r"blocks=\['a', 'b', 'c'\]"):
        fa.attach(model, "dfa", blocks=["b", "a", "c"], example=x)
    attached = fa.attach(model, "dfa")
    with pytest.raises(RuntimeError, match=r"`example=`.*`blocks=\[\.\.\.\]` in the order of the calls"):
        model(x)


class Teaching(nn.Module):
    """Holds a frozen teacher, which its ``forward`` does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        self.teacher = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def test_the_advice_about_a_network_that_forward_does_not_call_works():
    """A teacher or a second network as the last block would be the head, and no block receive an error."""
    x = torch.randn(2, 4)
    with pytest.raises(ValueError, match=r"does not call teacher\.0, teacher\.2 .*ungoverned=\['teacher'\]"):
        fa.attach(Teaching(), "dfa", example=x)
    with pytest.raises(ValueError, match=r"'teacher\.2' is registered last.* all of it is frozen.*`ungoverned`"):
        fa.attach(Teaching(), "dfa")
    model = Teaching().requires_grad_(True)
    fa.attach(model, "dfa")
    model(x)
    with pytest.raises(RuntimeError, match=r"never called the head.*in `ungoverned`"):
        model(x)
    model = Teaching()
    assert blocks(fa.attach(model, "dfa", ungoverned=["teacher"], example=x)) == ["net.0", "net.2"]
    F.cross_entropy(model(x), torch.tensor([0, 1])).backward()
    assert all(p.grad.norm() > 0 for p in model.net.parameters())


class Distilling(Teaching):
    """Calls its teacher too."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(x), self.teacher(x)


def test_the_advice_about_a_frozen_teacher_that_forward_calls_works():
    """To leave the student's head to backpropagation, layer after layer, would end in backpropagation under another name."""
    x = torch.randn(2, 4)
    with pytest.raises(ValueError, match=r"several heads.*frozen network .* such as a teacher, name the whole"):
        fa.attach(Distilling(), "dfa", example=x)
    model = Distilling()
    assert blocks(fa.attach(model, "dfa", ungoverned=["teacher"], example=x)) == ["net.0", "net.2"]
    student, teacher = model(x)
    F.mse_loss(student, teacher).backward()
    assert all(p.grad.norm() > 0 for p in model.net.parameters())


def test_the_counts_say_what_learns_by_backprop_inside_a_block():
    """The line at the beginning of a fit is how a user learns that most of "DFA" would be backprop."""
    model, ids = Classifier(), torch.randint(20, (2, 7))
    attached = fa.attach(model, "dfa")  # bert: 2 tables, 3 x 2 matrices, the pooler; and the classifier
    assert attached.governance() == (2, 8, 0)
    assert (
        "of 10 weight matrices 2 learn by the rule (2 blocks), 8 by backpropagation inside a block"
        in attached.summary()
    )
    assert "`example=`" in attached.summary()
    attached.detach()
    assert attached.governance() == (2, 8, 0)
    attached = fa.attach(
        model, "dfa", example=ids
    )  # tables and one matrix of each unit are behind the output of a unit
    assert attached.governance() == (5, 5, 0)
    attached.detach()
    chain = fa.attach(Nested(Chain()), "dfa", example=torch.randn(2, 4))
    assert chain.governance() == (3, 0, 0)
    assert chain.summary() == "DirectFeedbackAlignment: of 3 weight matrices 3 learn by the rule (3 blocks)."
    spare = Nested(Chain())
    spare.extra = nn.Parameter(torch.randn(2, 2))
    assert fa.attach(spare, "dfa", example=torch.randn(2, 4)).governance() == (3, 0, 1)
    assert fa.attach(Nested(Chain()), "fa").governance() == (3, 0, 0)
    assert fa.attach(Nested(Chain()), "shallow", example=torch.randn(2, 4)).governance() == (1, 0, 2)
    rule = fa.SyntheticGradient(at="encoder.first")
    assert fa.attach(Nested(Chain()), rule, example=torch.randn(2, 4)).governance() == (2, 1, 0)


@pytest.mark.parametrize("frozen", [0, 2, 4])
def test_a_frozen_matrix_counts_once_and_learns_by_nothing(frozen):
    """It stood in its block's row and in the last one: the line at the start of a fit said that 3 of 4 matrices learn."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    model[frozen].requires_grad_(False)
    attached = fa.attach(model, "dfa", example=torch.randn(2, 4))
    assert attached.governance() == (2, 0, 1)
    model(torch.randn(2, 4))
    assert str(attached).count(f"{frozen}.weight") == 1
    row = next(line for line in str(attached).splitlines() if line.startswith(f"{frozen} "))
    assert "weight" not in row
    attached.detach()
    assert attached.governance() == (2, 0, 1)


def test_the_table_fits_a_terminal_and_stays_right_after_the_fit():
    """A line of 3300 characters is not read; after `fit` every weight stood there twice, and no feedback."""
    model, x = Classifier(), torch.randint(20, (2, 7))
    attached = fa.attach(model, "dfa")
    model(x)
    table = str(attached).splitlines()[1:]
    assert all(len(line) <= 100 for line in table)
    assert any("9 weights: " in line for line in table)
    before = [row for row in table if row]
    attached.detach()
    assert str(attached).splitlines()[0].endswith(", released")
    assert str(attached).splitlines()[1:] == before
    assert any("[6, 3]" in line for line in before)
