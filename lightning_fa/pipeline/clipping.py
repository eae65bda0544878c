"""Gradients clipped by their norm over all stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def clip_by_norm(parameters: Sequence[Tensor], most: float) -> Tensor:
    """As ``torch.nn.utils.clip_grad_norm_``, with the norm over the gradients of all stages. All ranks must call it.

    Args:
        parameters: The parameters of this stage. Parameters without a gradient do not count.
        most: The largest norm after clipping.

    Returns:
        The norm before clipping.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    device = parameters[0].device
    kind = torch.promote_types(gradients[0].dtype, torch.float32) if gradients else torch.float32
    total = torch.zeros((), dtype=torch.float64)
    for gradient in gradients:
        total += torch.linalg.vector_norm(gradient.detach(), dtype=kind).double().cpu().square()
    total = total.to(device)
    dist.all_reduce(total)
    norm = total.sqrt()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.to(gradient.device, gradient.dtype))
    return norm
