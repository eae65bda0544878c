"""Networks as their authors wrote them, under every transport rule: nothing is left to backprop, nothing else changes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import Gradients, assert_same, distance

torchvision = pytest.importorskip("torchvision")

# The pseudoinverses of a whole torchvision network take minutes; they are tested on the small ones.
CHEAP = ["fa", "usf", "brsf", "frsf", "kp", "wm"]


class Attention(nn.Module):
    """A small GPT, of PyTorch's own layers, with tied embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(11, 8), nn.Parameter(torch.randn(1, 6, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(self.layers(self.embed(x) + self.place, mask, is_causal=True))


class Recurrent(nn.Module):
    """A sequence classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru = nn.Embedding(11, 5), nn.GRU(5, 6, 2, batch_first=True, dropout=0.1, bidirectional=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(self.embed(x))[0][:, -1])


def image(size: int) -> Tensor:
    return torch.randn(2, 3, size, size)


def net(name: str):
    return lambda: getattr(torchvision.models, name)(num_classes=5)


SMALL = {
    "gpt": (Attention, lambda: torch.randint(11, (3, 6)), 9),
    "gru": (Recurrent, lambda: torch.randint(11, (3, 6)), 9),
}
VISION = {
    "resnet18": (net("resnet18"), lambda: image(32), 21),
    "vgg11_bn": (net("vgg11_bn"), lambda: image(32), 11),
    "mobilenet_v2": (net("mobilenet_v2"), lambda: image(32), 53),
    "vit_b_16": (
        lambda: torchvision.models.VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=5),
        lambda: image(32),
        10,
    ),
    "convnext_tiny": (net("convnext_tiny"), lambda: image(32), 59),
}
LARGE = {"vgg11_bn": ["fa"], "convnext_tiny": ["fa", "brsf", "kp"]}
"""Rules of the networks that take seconds; what is particular to their layers does not depend on the rule."""
CASES = [(n, r) for n in SMALL for r in [*CHEAP, "pbp"]] + [(n, r) for n in VISION for r in LARGE.get(n, CHEAP)]


def build(name: str) -> tuple[nn.Module, Tensor, int]:
    make, x, weights = (SMALL | VISION)[name]
    torch.manual_seed(2)
    model = make()
    return model, x(), weights


def run(model: nn.Module, x: Tensor, attached: fa.Attached | None = None) -> tuple[Tensor, Gradients]:
    model.zero_grad()
    torch.manual_seed(5)
    out = model(x)
    loss = F.cross_entropy(out.flatten(0, -2), torch.arange(out.numel() // out.shape[-1]) % out.shape[-1])
    (attached.loss(loss) if attached else loss).backward()
    own = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None and "_feedback" not in n}
    return out.detach(), own


@pytest.mark.parametrize("name", [*SMALL, *VISION])
def test_the_control_equals_autograd_bitwise_and_lists_every_weight(name):
    """A network whose attention, convolution or recurrence runs another forward is no longer its authors' network."""
    model, x, weights = build(name)
    out, expected = run(model, x)
    attached = fa.attach(model, "bp")
    ours, gradients = run(model, x, attached)
    assert torch.equal(ours, out)
    assert_same(gradients, expected)
    table = repr(attached)
    assert table.count("layer by layer") == weights
    for parameter, p in model.named_parameters():
        if p.ndim > 1:
            assert table.count(f"{parameter.rpartition('.')[2]}{list(p.shape)}"), parameter


@pytest.mark.parametrize(("name", "rule"), CASES)
def test_forward_is_bitwise_unchanged_and_every_lower_weight_learns_otherwise(name, rule):
    """A weight that a rule silently leaves to backprop is the field's most common error (attention, above all)."""
    model, x, _ = build(name)
    out, backprop = run(model, x)
    attached = fa.attach(model, rule)
    ours, gradients = run(model, x, attached)
    assert torch.equal(ours, out)
    assert gradients.keys() == backprop.keys()
    top = next(reversed([n for n, p in model.named_parameters() if "_feedback" not in n])).rpartition(".")[0]
    for parameter, g in gradients.items():
        if not parameter.startswith(("embed", top)) and backprop[parameter].norm() > 1e-4:
            assert distance(g, backprop[parameter]) > 1e-3, parameter
    attached.detach()
    model.load_state_dict(build(name)[0].state_dict())
    assert_same(run(model, x)[1], backprop)
