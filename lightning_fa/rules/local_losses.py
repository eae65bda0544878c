"""Local losses: every block learns to classify by itself, and to make samples of one class alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_fa.feedback import check_choice, generator
from lightning_fa.labels import known, one_hot, share
from lightning_fa.rules.base import LocalRule

VALUES = (
    'LocalLosses tells classes apart. Use LinearAlignedFeedback(loss="mse") for regression, '
    'LinearAlignedFeedback(loss="binary_cross_entropy") if every output is a yes or no, or a rule that receives the true '
    "error, such as 'dfa'."
)


@final
@dataclass(frozen=True, kw_only=True)
class LocalLosses(LocalRule):
    r"""Every block minimises a loss of its own output, through small layers that learn with it. No error passes between blocks.

    .. math:: L^l = (1 - \beta) \, CE(P^l h^l + p^l, y) + \beta \, \tfrac{1}{n^2} \| S(Q^l * h^l) - S(y) \|^2

    S is the matrix of cosines between the samples' centred features. The features of a feature map are its channels' standard
    deviations over space. ``"pred"`` has only the first term and ``"sim"`` only the second, both with weight 1. P begins at
    zero. Before P a feature map is averaged over space to a grid of at most ``pooled`` features. Q is a 3x3 convolution or a
    matrix. In a sequence under a head that reads its mean or its last step, units are the channels and time is space. Later
    sequences may have another length: they are averaged to the grid of the first. Targets are two or more classes. Samples of
    class -100 are left out of the means: set labels that your own loss masks out to -100.

    Args:
        seed: Fixes every Q, together with the block's name and nothing else.
        loss: ``"predsim"``, ``"pred"`` or ``"sim"``.
        beta: :math:`\beta`.
        pooled: Largest number of features that P reads. Pooling is adaptive here; the published code doubles its window.

    References: Nokland & Eidnes 2019 (arXiv 1901.06656) and its code.
    """

    seed: int = 0
    loss: Literal["predsim", "pred", "sim"] = "predsim"
    beta: float = 0.99
    pooled: int = 2048

    learned: ClassVar[bool] = True
    maps: ClassVar[bool] = True
    takes: ClassVar[str] = "classes"
    advice: ClassVar[str] = VALUES

    def __post_init__(self) -> None:
        check_choice("loss", self.loss, ("predsim", "pred", "sim"))

    def initial(self, name: str, width: Sequence[int], outputs: int) -> dict[str, Tensor]:
        if outputs == 1:
            raise ValueError(f"A network of one output has no classes for block {name!r} to learn. {VALUES}")
        theta, shape = {}, width
        if self.loss != "sim":
            features = shape[0] * torch.Size(_grid(shape, self.pooled)).numel()
            theta = {"P": torch.zeros(outputs, features), "p": torch.zeros(outputs)}
        if self.loss != "pred":
            kernel = (3,) * (len(shape) - 1)
            bound = 1 / (shape[0] * 3 ** len(kernel)) ** 0.5
            drawn = torch.rand(shape[0], shape[0], *kernel, generator=generator(self.seed, name))
            theta |= {"Q": (2 * drawn - 1) * bound, "Y": torch.eye(outputs, dtype=torch.int8)}
        return theta

    def local_loss(self, h: Tensor, targets: Tensor, feedback: Mapping[str, Tensor]) -> Tensor:
        theta, pred, sim = feedback, h.new_zeros(()), h.new_zeros(())
        if self.loss != "sim":
            y = targets.to(h.dtype) if targets.ndim > 1 else targets
            # A sequence of another length than the first is averaged to the grid of the first.
            grid = [theta["P"].shape[1] // h.shape[1]] if h.ndim == 3 else _grid(h.shape[1:], self.pooled)
            pred = F.cross_entropy(F.linear(_pool(h, grid), theta["P"], theta["p"]), y)
        if self.loss != "pred":
            y = (targets if targets.ndim > 1 else one_hot(targets, len(theta["Y"]))).to(h.dtype)
            s, wanted = _similarity(_mix(h, theta["Q"])), _similarity(y)
            if targets.ndim > 1:
                sim = F.mse_loss(s, wanted)
            else:
                count = known(targets)
                pairs = count[:, None] & count
                sim = F.mse_loss(s, torch.where(pairs, wanted, s.detach())) / share(pairs, h.dtype)
        return {"pred": pred, "sim": sim}.get(self.loss, (1 - self.beta) * pred + self.beta * sim)


def _grid(shape: Sequence[int], most: int) -> list[int]:
    channels, *sizes = shape
    while channels * torch.Size(sizes).numel() > most and max(sizes, default=1) > 1:
        sizes = [-(-size // 2) for size in sizes]
    return sizes


def _pool(h: Tensor, grid: list[int]) -> Tensor:
    if h.ndim == 2:
        return h
    pools: dict[int, Callable[..., Tensor]] = {
        3: F.adaptive_avg_pool1d,
        4: F.adaptive_avg_pool2d,
        5: F.adaptive_avg_pool3d,
    }
    return pools[h.ndim](h, grid).flatten(1)


def _mix(h: Tensor, Q: Tensor) -> Tensor:
    if h.ndim == 2:
        return F.linear(h, Q)
    mixed = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[h.ndim](h, Q, padding=1).flatten(2)
    return mixed.std(2) if mixed.shape[1] > 3 and mixed.shape[2] > 1 else mixed.flatten(1)


def _similarity(x: Tensor) -> Tensor:
    x = x - x.mean(1, keepdim=True)
    square = x.square().sum(1, keepdim=True)
    # A sample whose units are all dead has no direction. The offset keeps its gradient from being NaN, and the mask makes it
    # zero. Without the mask it would be 1e8 times the gradient of the direction wherever a unit at rest still has a slope, as
    # a spiking unit has.
    x = (x / (square + 1e-16).sqrt()).masked_fill(square == 0, 0.0)
    return (x @ x.T).clamp(-1, 1)
