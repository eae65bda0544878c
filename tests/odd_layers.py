"""Layers whose forward nobody here wrote: each is linear in its input, apart from what follows within its own forward."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune


class Scaled(nn.Linear):
    """A subclass that only changes what comes out."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x) * 2.0, inplace=True)


class FakeQuantized(nn.Linear):
    """As in quantisation-aware training: the weight is rounded, and learns as if it were not."""

    def forward(self, x: Tensor) -> Tensor:
        step = 2.0**-10
        rounded = (self.weight / step).round() * step
        return F.linear(x, self.weight + (rounded - self.weight).detach(), self.bias)


class Conv1D(nn.Module):
    """As in transformers' GPT-2: W has the inputs first."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(fan_in, fan_out) / fan_in**0.5),
            nn.Parameter(torch.randn(fan_out)),
        )

    def forward(self, x: Tensor) -> Tensor:
        out = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
        return out.view(*x.shape[:-1], -1)


class Raw(nn.Module):
    """Any way of writing it: ``how`` is a function of (x, W)."""

    def __init__(self, fan_in: int, fan_out: int, how=lambda x, w: x @ w.t()) -> None:
        super().__init__()
        self.kernel, self.gain, self.how = (
            nn.Parameter(torch.randn(fan_out, fan_in)),
            nn.Parameter(torch.ones(fan_out)),
            how,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.how(x, self.kernel) * self.gain


class Graph(nn.Module):
    """As in torch_geometric: a Linear of another name, then messages along the edges."""

    class Linear(nn.Module):
        def __init__(self, fan_in: int, fan_out: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(fan_out, fan_in) / fan_in**0.5)
            self.register_parameter("bias", None)

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight, self.bias)

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.lin = Graph.Linear(fan_in, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        h = self.lin(x)
        return h + 0.5 * h.roll(1, 0)


class Low(nn.Module):
    """Two matrices in a row, W = V U."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.U, self.V = nn.Parameter(torch.randn(2, fan_in)), nn.Parameter(torch.randn(fan_out, 2))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.U.T) @ self.V.T


class Listed(nn.Module):
    """Its matrix is in a list of parameters."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.parts = nn.ParameterList([torch.randn(fan_out, fan_in), torch.randn(fan_out)])

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.parts[0], self.parts[1])


class Bilinear(nn.Module):
    """``nn.Bilinear`` with one input twice."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.inner = nn.Bilinear(fan_in, fan_in, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, torch.ones_like(x))


def pruned(fan_in: int, fan_out: int) -> nn.Module:
    return prune.l1_unstructured(nn.Linear(fan_in, fan_out), "weight", 0.5)


def patched(fan_in: int, fan_out: int) -> nn.Module:
    layer = nn.Linear(fan_in, fan_out)
    layer.forward = lambda x: torch.tanh(F.linear(x, layer.weight, layer.bias))
    return layer


def masked(x: Tensor, w: Tensor) -> Tensor:
    return x @ (w * (torch.arange(w.numel()).view(w.shape) % 3 > 0).to(w.dtype)).t()


def standardised(x: Tensor, w: Tensor) -> Tensor:
    return F.linear(x, (w - w.mean(1, keepdim=True)) / w.std(1, keepdim=True))


WAYS = {
    "x @ w.t()": lambda x, w: x @ w.t(),
    "matmul": lambda x, w: torch.matmul(x, w.transpose(0, 1)),
    "einsum": lambda x, w: torch.einsum("bi,oi->bo", x, w),
    "column by column": lambda x, w: torch.stack([x @ row for row in w.unbind(0)], 1),
    "element by element": lambda x, w: (x[:, None] * w).sum(-1),
    "the other way round": lambda x, w: (w @ x.t()).t(),
    "batched": lambda x, w: torch.baddbmm(
        torch.zeros(1, 1, 1, dtype=x.dtype), x[:, None], w.t().expand(len(x), -1, -1)
    )[:, 0],
    "convolution": lambda x, w: F.conv1d(x[:, :, None], w[:, :, None])[:, :, 0],
    "same convolution": lambda x, w: F.conv1d(x[:, :, None], w[:, :, None], padding="same")[:, :, 0],
    "transposed convolution": lambda x, w: F.conv_transpose1d(x[:, :, None], w.t()[:, :, None])[:, :, 0],
    "in parts": lambda x, w: torch.cat([F.linear(x, part) for part in w.chunk(2)], 1),
    "masked": masked,
    "standardised": standardised,
}

LAYERS = {
    "scaled": Scaled,
    "fake-quantised": FakeQuantized,
    "conv1d": Conv1D,
    "graph": Graph,
    "low rank": Low,
    "listed": Listed,
    "bilinear": Bilinear,
    "pruned": pruned,
    "patched": patched,
    **{way: (lambda fan_in, fan_out, how=how: Raw(fan_in, fan_out, how)) for way, how in WAYS.items()},
}


def net_of(layer: str) -> nn.Sequential:
    """Three of a kind with an activation between them, in float64."""
    build = LAYERS[layer]
    return nn.Sequential(build(5, 6), nn.Tanh(), build(6, 4), nn.Tanh(), build(4, 3)).double()
