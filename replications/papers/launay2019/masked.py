"""The bottleneck of the authors' code: a layer of full width of which only a part learns."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class MaskedLinear(nn.Linear):
    """A linear layer in whose gradients all but a random `kept` of the entries are zero; its outputs are those of any other.

    Args:
        width: of inputs and outputs
        kept: fraction of the entries of the gradients of weight and bias that is kept
        error: whether the gradient of the input is masked as well
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
    """Exactly that fraction of entries, rounded up, so that a bottleneck of 1 in a bias of 800 keeps one."""
    size = torch.Size(shape).numel()
    chosen = torch.randperm(size)[: -int(-kept * size // 1)]
    return torch.zeros(size).index_fill_(0, chosen, 1.0).reshape(shape)


def _learn_in_part(tensor: Tensor, mask: Tensor) -> Tensor:
    """The same values, of which only those under the mask pass a gradient on."""
    return mask * tensor + ((1 - mask) * tensor).detach()
