"""What the replications measure beside `lightning_fa.metrics`: pure functions of tensors.

Notation: h [samples, width] a hidden activation, B [width, outputs] its feedback matrix, y [samples] the labels,
e [samples, outputs] an error at the outputs. Angles are in degrees, accuracies in percent.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_fa.metrics import angles


def mean_angle(u: Tensor, v: Tensor) -> float:
    """The mean over the rows of `angles`; rows that are zero have no direction and are left out."""
    return angles(u, v).nanmean().item()


def signal(e: Tensor, B: Tensor) -> Tensor:
    """B e for every sample: what reaches h instead of backpropagation's gradient."""
    return e @ B.T.to(e)


def fresh(B: Tensor, draws: int, seed: int) -> Iterator[Tensor]:
    """`draws` matrices that training never saw, of the size of B: the same entries in other places."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        yield B.flatten()[torch.randperm(B.numel(), generator=generator).to(B.device)].view_as(B)


def forward(model: nn.Module, taps: Sequence[str], x: Tensor) -> tuple[list[Tensor], Tensor]:
    """The inputs of the modules named `taps`, and the logits, all in one graph of plain backpropagation."""
    hidden: dict[str, Tensor] = {}
    modules = dict(model.named_modules())
    missing = [tap for tap in taps if tap not in modules]
    if missing:
        raise ValueError(f"Expected names of modules of the model but got {missing}. It has {sorted(modules)}.")
    hooks = [
        modules[tap].register_forward_pre_hook(lambda _, inputs, tap=tap: hidden.__setitem__(tap, inputs[0]))
        for tap in taps
    ]
    try:
        logits = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return [hidden[tap] for tap in taps], logits


def backprop_signals(hidden: Sequence[Tensor], logits: Tensor, y: Tensor) -> list[Tensor]:
    """The true gradient of each sample's cross-entropy with respect to every hidden activation."""
    return list(torch.autograd.grad(cross_entropy(logits, y, reduction="sum"), hidden))
