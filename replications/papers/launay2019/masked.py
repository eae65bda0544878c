"""The bottleneck of the authors' code: a layer of full width, of whose weights only a part learns."""

from typing import cast

import torch
from torch import Tensor, nn


class MaskedLinear(nn.Linear):
    """A linear layer that keeps only a random fraction of the entries of its gradients. Its outputs are those of nn.Linear.

    Args:
        width: the width of inputs and outputs
        kept: the fraction of the entries of the gradients that is kept
        rows: the size of a batch if the gradient of the input is masked too, else 0. The masks of input and bias then have one
            entry for every row of a batch and every unit, as the hook of the authors' code sees these gradients.
    """

    def __init__(self, width: int, kept: float, rows: int = 0) -> None:
        super().__init__(width, width)
        self.register_buffer("weight_mask", _mask((width, width), kept))
        self.register_buffer("bias_mask", _mask((rows or 1, width), kept))
        self.register_buffer("input_mask", _mask((rows, width), kept) if rows else None)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        weight_mask, bias_mask = cast("Tensor", self.weight_mask), cast("Tensor", self.bias_mask)
        if self.input_mask is not None:
            x = _learn_in_part(x, cast("Tensor", self.input_mask)[: len(x)])
        bias = _learn_in_part(self.bias.expand(len(x), -1), bias_mask[: len(x)])
        return torch.addmm(bias, x, _learn_in_part(self.weight, weight_mask).t())


def _mask(shape: tuple[int, ...], kept: float) -> Tensor:
    """A random mask that keeps exactly the fraction `kept` of the entries, rounded up, so that it keeps at least one."""
    size = torch.Size(shape).numel()
    chosen = torch.randperm(size)[: -int(-kept * size // 1)]
    return torch.zeros(size).index_fill_(0, chosen, 1.0).reshape(shape)


def _learn_in_part(tensor: Tensor, mask: Tensor) -> Tensor:
    """The values of `tensor`. Only entries where `mask` is 1 get a gradient."""
    return mask * tensor + ((1 - mask) * tensor).detach()
