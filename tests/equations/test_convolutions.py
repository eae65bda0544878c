"""Convolutions under feedback: the error below is the transpose of the map that the layer with B would be."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lightning_fa as fa
from tests.problems import assert_close, distance

F64 = torch.float64
EPS = torch.finfo(F64).eps

SHAPES = {
    "plain": (lambda: nn.Conv2d(2, 4, 3), (7, 6)),
    "stride, not dividing": (lambda: nn.Conv2d(2, 4, 3, stride=(2, 3), padding=1), (8, 7)),
    "dilation": (lambda: nn.Conv2d(2, 4, 3, dilation=2, padding=2), (7, 6)),
    "groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (5, 6)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, padding=(1, 0)), (5, 6)),
    "reflect": (lambda: nn.Conv2d(2, 4, 3, padding=(2, 1), padding_mode="reflect"), (6, 5)),
    "replicate": (lambda: nn.Conv2d(2, 4, 3, padding=(2, 1), padding_mode="replicate"), (6, 5)),
    "circular": (lambda: nn.Conv2d(2, 4, 3, padding=(2, 1), padding_mode="circular"), (6, 5)),
    "same": (lambda: nn.Conv2d(2, 4, (5, 3), padding="same"), (7, 6)),
    "same, asymmetric": (lambda: nn.Conv2d(2, 4, (4, 3), padding="same", dilation=(1, 2)), (7, 6)),
    "same, asymmetric, reflect": (lambda: nn.Conv2d(2, 4, (4, 2), padding="same", padding_mode="reflect"), (7, 6)),
    "valid": (lambda: nn.Conv2d(2, 4, 3, padding="valid"), (7, 6)),
    "one dimension": (lambda: nn.Conv1d(2, 4, 4, stride=2, padding=1), (9,)),
    "three dimensions": (lambda: nn.Conv3d(2, 4, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 0)), (3, 5, 2)),
    "no bias": (lambda: nn.Conv2d(2, 4, 3, bias=False), (7, 6)),
}


pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"
)  # PyTorch's own layer


def governed(layer: nn.Module) -> tuple[nn.Module, fa.Attached]:
    """The layer alone in a network, so that it has a name."""
    net = nn.Sequential(layer.double())
    return net, fa.attach(net, "fa")


def transpose_of(layer: nn.Module, weight: torch.Tensor, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """J^T delta: J is the layer's linear map with ``weight``, written out column by column from unit vectors."""
    plain = type(layer)(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
        layer.groups, bias=False, padding_mode=layer.padding_mode, dtype=F64,
    )  # fmt: skip
    with torch.no_grad():
        plain.weight.copy_(weight)
        units = torch.eye(x[0].numel(), dtype=F64).reshape(-1, *x.shape[1:])
        return (delta.flatten(1) @ plain(units).flatten(1).T).reshape(x.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_error_below_is_the_transposed_map_of_b(shape):
    """A padding, stride or group handled wrongly sends errors to the wrong pixels, and training merely gets worse."""
    build, size = SHAPES[shape]
    layer = build()
    x = torch.randn(3, layer.in_channels, *size, dtype=F64, requires_grad=True)
    plain, reference = layer.double(), x.detach().clone().requires_grad_()
    out = plain(reference)
    delta = torch.randn_like(out)
    weights = torch.autograd.grad(out, list(plain.parameters()), delta)

    net, attached = governed(layer)
    ours = net(x)
    assert torch.equal(ours, out)
    ours.backward(delta)
    B = attached.feedback["0"]
    assert distance(x.grad, transpose_of(layer, B, x, delta)) < 64 * EPS
    assert distance(x.grad, transpose_of(layer, layer.weight.detach(), x, delta)) > 0.1  # and not that of W
    own = {name: p.grad for name, p in layer.named_parameters()}
    assert_close(own, dict(zip(own, weights)), EPS)


def test_the_error_below_is_the_transposed_convolution_with_b():
    """The textbook form, for anyone who doubts the general one above."""
    net, attached = governed(nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2))
    x = torch.randn(2, 4, 9, 9, dtype=F64, requires_grad=True)
    out = net(x)
    delta = torch.randn_like(out)
    out.backward(delta)
    expected = F.conv_transpose2d(delta, attached.feedback["0"], stride=2, padding=1, dilation=2, groups=2)
    assert distance(x.grad, expected) < 64 * EPS


@pytest.mark.parametrize("shape", ["plain", "same, asymmetric", "circular", "one dimension"])
def test_an_unbatched_image_is_a_batch_of_one(shape):
    """PyTorch accepts inputs without a batch dimension; governed layers must not read channels as a batch."""
    build, size = SHAPES[shape]
    layer = build()
    net, _ = governed(layer)
    x = torch.randn(layer.in_channels, *size, dtype=F64, requires_grad=True)
    net(x).square().sum().backward()
    single = {name: p.grad for name, p in net.named_parameters()} | {"x": x.grad}
    net.zero_grad(set_to_none=True)
    batch = x.detach()[None].requires_grad_()
    net(batch).square().sum().backward()
    assert_close(single, {name: p.grad for name, p in net.named_parameters()} | {"x": batch.grad[0]}, EPS)


def test_direct_feedback_of_a_convolution_is_dense():
    """Feedback that is constant over space tells every pixel the same: a different, weaker rule than the paper's."""
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 4 * 5, 4)).double()
    attached = fa.attach(net, "dfa")
    x, y = torch.randn(6, 2, 4, 5, dtype=F64), torch.randint(4, (6,))
    out = net(x)
    F.cross_entropy(out, y).backward()
    B = attached.feedback["0"]
    assert B.shape == (3 * 4 * 5, 4)
    with torch.no_grad():
        e = (out.softmax(1) - F.one_hot(y, 4)) / len(y)
        h = torch.tanh(F.conv2d(x, net[0].weight, net[0].bias, padding=1))
        delta = (e @ B.T).reshape(h.shape) * (1 - h**2)
        patches = F.unfold(x, 3, padding=1)  # (n, channels * 9, pixels)
        weight = torch.einsum("nop,nip->oi", delta.flatten(2), patches).reshape(net[0].weight.shape)
    ours = {name: p.grad for name, p in net[0].named_parameters()}
    assert_close(ours, {"weight": weight, "bias": delta.sum((0, 2, 3))}, EPS)


def test_learned_feedback_of_a_convolution_receives_the_gradient_of_its_weight():
    """Kolen-Pollack with a B that stands still is feedback alignment under another name."""
    net = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Conv2d(4, 3, 2)).double()
    attached = fa.attach(net, "kp")
    net(torch.randn(2, 2, 6, 6, dtype=F64)).square().sum().backward()
    for name in ("0", "2"):
        assert net[int(name)].weight.grad.any()
        assert torch.equal(attached.feedback[name].grad, net[int(name)].weight.grad)


def test_a_convolution_under_autocast_computes_what_the_plain_one_does():
    """In full precision it would be right and slow, and no longer the network that the user asked for."""
    net, x = nn.Sequential(nn.Conv2d(2, 4, 3)), torch.randn(2, 2, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = net(x)
        fa.attach(net, "fa")
        out = net(x)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, expected)
    saved = {t.dtype for t in out.grad_fn.saved_tensors}
    assert saved == {torch.bfloat16}
