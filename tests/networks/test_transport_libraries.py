"""Networks of other libraries under transport rules: with W for B they are autograd bit for bit."""

import pytest
import torch
from torch import Tensor, nn

import lightning_fa as fa
from tests.problems import assert_same, distance


def swin() -> tuple[nn.Module, tuple]:
    models = pytest.importorskip("torchvision.models.swin_transformer")
    net = models.SwinTransformer([2, 2], 8, [2, 2], [2, 4], [4, 4], num_classes=3)
    return net, (torch.randn(1, 3, 16, 16),)


def swin_v2() -> tuple[nn.Module, tuple]:
    models = pytest.importorskip("torchvision.models.swin_transformer")
    net = models.SwinTransformer(
        [2, 2], 8, [2, 2], [2, 4], [4, 4], num_classes=3,
        block=models.SwinTransformerBlockV2, downsample_layer=models.PatchMergingV2,
    )  # fmt: skip
    return net, (torch.randn(1, 3, 16, 16),)


def gpt2() -> tuple[nn.Module, tuple]:
    t = pytest.importorskip("transformers")
    config = t.GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return t.GPT2LMHeadModel(config), (torch.randint(0, 20, (2, 6)),)


def timm(name: str) -> tuple[nn.Module, tuple]:
    return pytest.importorskip("timm").create_model(name, num_classes=3), (torch.randn(1, 3, 48, 48),)


def graph(name: str, **settings) -> tuple[nn.Module, tuple]:
    layers = pytest.importorskip("torch_geometric.nn")
    kind = getattr(layers, name)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = kind(6, 8, **settings), kind(8, 3, **settings)

        def forward(self, x: Tensor, edges: Tensor) -> Tensor:
            return self.b(torch.relu(self.a(x, edges)), edges)

    return Net(), (torch.randn(4, 6), torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]]))


NETS = {
    "swin": swin,
    "swin v2": swin_v2,
    "gpt2": gpt2,
    "tf_mobilenetv3_small_minimal_100": lambda: timm("tf_mobilenetv3_small_minimal_100"),
    "resnetv2_50x1_bit": lambda: timm("resnetv2_50x1_bit"),
    "GCNConv": lambda: graph("GCNConv"),
    "GATConv": lambda: graph("GATConv", heads=2, concat=False),
    "ChebConv": lambda: graph("ChebConv", K=3),
}


def gradients(net: nn.Module, x: tuple) -> tuple[Tensor, dict[str, Tensor]]:
    net.zero_grad()
    out = net(*x)
    out = out if isinstance(out, Tensor) else out.logits
    out.square().sum().backward()
    return out.detach(), {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", NETS)
def test_a_network_of_another_library_is_governed_as_it_is(name):
    """Its layers were replaced by PyTorch's (outputs off by 9.86), or refused, by the control as well."""
    net, x = NETS[name]()
    net.eval()
    with torch.no_grad():  # some heads begin at zero, and would hide everything below
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)) and not module.weight.any():
                nn.init.normal_(module.weight)
    out, expected = gradients(net, x)
    attached = fa.attach(net, "bp", example=x)
    ours = gradients(net, x)
    assert torch.equal(ours[0], out)
    assert_same(ours[1], expected)
    attached.detach()
    attached = fa.attach(net, "fa", example=x)
    ours = gradients(net, x)
    assert torch.equal(ours[0], out)
    lowest = next(iter(expected))
    assert distance(ours[1][lowest], expected[lowest]) > 0.1
    named = dict(net.named_parameters(remove_duplicate=False))  # GPT-2 ties its head
    for layer, B in attached.feedback.items():
        B.copy_(named.get(f"{layer}.weight", named.get(layer)).detach())
    assert_same(gradients(net, x)[1], expected)
