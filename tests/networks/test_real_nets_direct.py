"""Networks as people use them, unmodified, under direct, local and synthetic rules."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

import lightning_fa as fa
from tests.problems import distance, read

SHARED = fa.DirectFeedbackAlignment(spatial="shared")


class GPT(nn.Module):
    """Scores every position."""

    def __init__(self) -> None:
        super().__init__()
        self.tok, self.pos = nn.Embedding(20, 16), nn.Embedding(12, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 20)

    def forward(self, i: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(i.shape[1])
        h = self.tok(i) + self.pos(torch.arange(i.shape[1]))
        return self.head(self.norm(self.layers(h, mask=mask, is_causal=True)))


class Recurrent(nn.Module):
    """A classifier of sequences by the last output or the last state."""

    def __init__(self, cell: type[nn.RNNBase], state: bool = False) -> None:
        super().__init__()
        self.state = state
        self.emb, self.rnn = nn.Embedding(20, 16), cell(16, 24, 2, batch_first=True)
        self.out = nn.Sequential(nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 10))

    def forward(self, i: Tensor) -> Tensor:
        out, state = self.rnn(self.emb(i))
        return self.out(state[-1] if self.state else out[:, -1])


def vit() -> nn.Module:
    net = models.VisionTransformer(32, 8, 3, 4, 48, 64, num_classes=10)
    nn.init.normal_(net.heads.head.weight)  # zero by default, under which backprop has no hidden gradient
    return net


NETS: dict[str, tuple[Callable[[], nn.Module], str, list[str]]] = {
    "resnet18": (lambda: models.resnet18(num_classes=10), "image", ["conv1", "layer1.0", "layer4.1", "fc"]),
    "vgg11_bn": (lambda: models.vgg11_bn(num_classes=10), "image", ["features.0", "features.25", "classifier.0", "classifier.6"]),
    "mobilenet_v2": (lambda: models.mobilenet_v2(num_classes=10), "image", ["features.0.0", "features.17", "classifier.1"]),
    "convnext_tiny": (lambda: models.convnext_tiny(num_classes=10), "image", ["features.0.0", "features.7.2", "classifier.2"]),
    "vit": (vit, "image", ["conv_proj", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_2", "heads.head"]),
    "gpt": (GPT, "tokens", ["layers.layers.0", "layers.layers.2", "head"]),
    "gru": (lambda: Recurrent(nn.GRU), "words", ["rnn", "out.0", "out.2"]),
    "lstm": (lambda: Recurrent(nn.LSTM), "words", ["rnn", "out.0", "out.2"]),
    "rnn": (lambda: Recurrent(nn.RNN), "words", ["rnn", "out.0", "out.2"]),
    "gru by state": (lambda: Recurrent(nn.GRU, state=True), "words", ["rnn", "out.0", "out.2"]),
}  # fmt: skip
every_net = pytest.mark.parametrize("net", NETS)
LARGE = {"vgg11_bn": SHARED, "mobilenet_v2": "lafs", "convnext_tiny": "lafs"}
"""Networks that take seconds: one rule each, since what is particular to their layers does not depend on the rule."""
TRAINED = [(net, rule) for net in NETS for rule in (SHARED, "lafs") if LARGE.get(net, rule) == rule]


def data(kind: str) -> tuple[Tensor, Tensor]:
    if kind == "image":
        return torch.randn(3, 3, 32, 32), torch.randint(10, (3,))
    i = torch.randint(20, (3, 12))
    return (i, i.roll(-1, 1)) if kind == "tokens" else (i, torch.randint(10, (3,)))


def gradients(model: nn.Module, x: Tensor, y: Tensor, attached: fa.Attached | None = None) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(3)
    if attached is None:
        F.cross_entropy(model(x).flatten(0, -2), y.flatten()).backward()
    else:
        attached.targets = y
        attached.loss(F.cross_entropy(model(x).flatten(0, -2), y.flatten())).backward()
    return read(model)


@pytest.mark.parametrize(("net", "rule"), TRAINED, ids=lambda value: value if isinstance(value, str) else "dfa")
def test_unmodified_networks_train_by_the_rule_in_every_parameter(net, rule):
    """No skip path, class token, position embedding or hidden state may carry the true gradient, or be left without one."""
    build, kind, some = NETS[net]
    model, (x, y) = build(), data(kind)
    backprop = gradients(model, x, y)
    attached = fa.attach(model, rule)
    ours = gradients(model, x, y, attached)
    assert set(some) <= set(attached.config()["blocks"])
    assert attached.config()["blocks"][0] == some[0]
    assert ours.keys() == backprop.keys()
    for name, g in ours.items():
        assert g.isfinite().all()
        assert g.norm() > 0, name
        if not name.startswith(some[-1]):
            assert distance(g, backprop[name]) > 0.1, name


@every_net
def test_print_names_every_weight_and_what_governs_it(net):
    """What the table leaves out, nobody looks for: parameters around the blocks go where the graph says."""
    build, kind, _ = NETS[net]
    model, (x, y) = build(), data(kind)
    attached = fa.attach(model, SHARED)
    gradients(model, x, y, attached)
    table = "\n".join("  ".join(row) for row in attached._table())  # print shortens what is wider than a terminal
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue
        block = next((b for b in attached.config()["blocks"] if name.startswith(b + ".")), None)
        rows = [line for line in table.splitlines() if (line.startswith(block + " ") if block else name in line)]
        assert any(name.removeprefix(f"{block}.") in row for row in rows), name
    assert all(f"\n{block} " in str(attached) for block in attached.config()["blocks"])
    if net == "vit":
        row = next(line for line in table.splitlines() if line.startswith("conv_proj "))
        assert "class_token" in row
        assert "encoder.pos_embedding" in row
    if net == "gpt":
        row = next(line for line in table.splitlines() if line.startswith("layers.layers.0 "))
        assert "tok.weight" in row
        assert "pos.weight" in row
    assert "none:" not in table


def test_a_parameter_that_nothing_uses_is_listed():
    """An auxiliary head that is never called is governed by no error."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    model.spare = nn.Parameter(torch.randn(3, 3))
    attached = fa.attach(model, "dfa")
    assert "spare" in str(attached)
    model[1](model[0](torch.randn(2, 4)))
    assert "none of the rule's: ungoverned, frozen, or not used" in str(attached)


@pytest.mark.parametrize("net", ["gpt", "gru", "resnet18", "vit"])
@pytest.mark.parametrize("rule", ["sg", "sgprop", "local", "dkp", "drtp", "dfa_sign", "shallow"])
def test_other_families_train_real_networks(net, rule):
    """Learned tensors are made for every block's shape; the head always learns by the true error."""
    build, kind, some = NETS[net]
    model, (x, y) = build(), data(kind)
    backprop = gradients(model, x, y)
    model.zero_grad(set_to_none=True)
    chosen = fa.DirectKolenPollack(spatial="shared") if rule == "dkp" else rule
    ours = gradients(model, x, y, fa.attach(model, chosen, example=x))
    assert distance(ours[f"{some[-1]}.weight"], backprop[f"{some[-1]}.weight"]) < 1e-5
    hidden = {name: g for name, g in ours.items() if not name.startswith(some[-1])}
    assert bool(hidden) == (rule != "shallow")
    assert all(g.isfinite().all() for g in hidden.values())
    assert sum(g.norm() > 0 for g in hidden.values()) >= (3 if hidden else 0)


def test_a_state_that_passes_a_block_by_is_a_leak():
    """A second recurrent layer that starts from the first one's state would carry the true gradient down."""

    class Chained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.top, self.out = (
                nn.GRU(4, 6, batch_first=True),
                nn.GRU(6, 6, batch_first=True),
                nn.Linear(6, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            h, state = self.low(x)
            return self.out(self.top(h, state)[0][:, -1])

    model = Chained()
    fa.attach(model, SHARED)
    with pytest.raises(RuntimeError, match="true gradient leaks"):
        model(torch.randn(2, 5, 4))


def test_errors_of_a_language_model_are_per_token():
    """One B for all positions, applied to each token's own error."""
    model, (i, y) = GPT().eval(), data("tokens")
    attached = fa.attach(model, "dfa")
    seen = {}
    model.norm.register_forward_pre_hook(lambda m, args: seen.update(h=args[0]))
    out = model(i)
    out.retain_grad()
    assert all(tuple(b.shape) == (16, 20) for b in attached.feedback.values())
    F.cross_entropy(out.flatten(0, 1), y.flatten()).backward()
    h = model.norm(seen["h"].detach().requires_grad_())
    (expected,) = torch.autograd.grad(h, model.norm.weight, out.grad @ attached.feedback["layers.layers.2"].T)
    assert distance(model.norm.weight.grad, expected) < 1e-5
