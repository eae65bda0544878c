"""The bottleneck of the authors' code: a layer of full width, of whose weights only a part learns."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class MaskedLinear(nn.Linear):
    """A linear layer that keeps only a random fraction of the entries of its gradients. Its outputs are those of nn.Linear.

    Args:
        width: the width of inputs and outputs
        kept: the fraction of the entries of the gradients of weight and bias that is kept
        error: whether the gradient of the input is masked too
    """

    def __init__(self, width: int, kept: float, *, error: bool) -> None:
        super().__init__(width, width)
        self.register_buffer("weight_mask", _mask((width, width), kept))
        self.register_buffer("bias_mask", _mask((width,), kept))
        self.register_buffer("input_mask", _mask((width,), kept if error else 1.0))

    def forward(self, x: Tensor) -> Tensor:
        masks = (cast("Tensor", m) for m in (self.input_mask, self.weight_mask, self.bias_mask))
        tensors = (x, self.weight, self.bias)
        return linear(*(_learn_in_part(tensor, mask) for tensor, mask in zip(tensors, masks, strict=True)))


def _mask(shape: tuple[int, ...], kept: float) -> Tensor:
    """A random mask that keeps exactly the fraction `kept` of the entries, rounded up, so that it keeps at least one."""
    size = torch.Size(shape).numel()
    chosen = torch.randperm(size)[: -int(-kept * size // 1)]
    return torch.zeros(size).index_fill_(0, chosen, 1.0).reshape(shape)


def _learn_in_part(tensor: Tensor, mask: Tensor) -> Tensor:
    """The values of `tensor`. Only entries where `mask` is 1 get a gradient."""
    return mask * tensor + ((1 - mask) * tensor).detach()
