"""FSDP and FSDP2 shard learned feedback like any other parameter. These functions read it whole, and write to it.

Tensor parallelism (``parallelize_module``) divides a layer's weights and its computation. Transport rules divide B with W.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


def is_sharded(parameter: Tensor) -> bool:
    """Whether FSDP or FSDP2 manages this parameter, so that a module cannot add or drop it on its own."""
    return hasattr(parameter, "full_tensor") or getattr(parameter, "_fsdp_flattened", False)


def has_shards(root: nn.Module) -> bool:
    """Whether FSDP or FSDP2 manages any parameter of ``root``, and so decides when parameters exist."""
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    if any(isinstance(module, (FSDPModule, FullyShardedDataParallel)) for module in root.modules()):
        return True
    parameters = list(root.parameters())
    return not parameters or any(map(is_sharded, parameters))  # FSDP may hold parameters outside of the module


def check_gradients_are_joined(root: nn.Module, learned: bool) -> None:
    """Check that feedback which is added to ``root`` now would have the same gradient on all ranks, if it is ``learned``.

    Raises:
        ValueError: DDP or FSDP manages ``root`` or a part of it already, and would not know the new parameters.
    """
    from torch.nn.parallel import DistributedDataParallel

    replicated = any(isinstance(module, DistributedDataParallel) for module in root.modules())
    if learned and (replicated or any(map(is_sharded, root.parameters()))):
        raise ValueError(
            f"Expected a model that {'DDP has not wrapped' if replicated else 'FSDP has not sharded'} yet: learned feedback is a "
            "parameter, and the gradient of a parameter that is added later is not averaged over ranks. Attach the rule first. "
            "In a LightningModule create the layers in `__init__`, and only shard them in `configure_model`."
        )


def check_undivided(root: nn.Module) -> None:
    """Check that tensor parallelism has not divided the weights of ``root`` yet: B is drawn whole, and then divided with W.

    Raises:
        ValueError: it has.
    """
    from torch.distributed.fsdp import FSDPModule

    divided = [name for name, p in root.named_parameters() if hasattr(p, "full_tensor")]
    if divided and not any(isinstance(module, FSDPModule) for module in root.modules()):
        raise ValueError(
            f"Expected whole weights, but `parallelize_module` has divided {', '.join(divided)}. Attach the rule first: create "
            "the layers in `__init__`, and divide them in `configure_model`."
        )


def check_gathered(tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors, which a rule uses outside of their own layer's forward, are not sharded at this moment.

    Raises:
        RuntimeError: a tensor is sharded, because FSDP wraps the layers one by one or tensor parallelism divides them.
    """
    sharded = [
        name
        for name, t in tensors.items()
        if hasattr(t, "full_tensor") or (isinstance(t, nn.Parameter) and is_sharded(t))
    ]
    if sharded:
        raise RuntimeError(
            f"This rule uses {', '.join(sharded)} outside of the forward pass of the layer that holds it, where it is sharded. "
            "Shard the network as one unit: no `auto_wrap_policy` (FSDP), `fully_shard` on the network and not on its layers "
            "(FSDP2). Under tensor parallelism (`parallelize_module`) use a transport rule: fa, usf, kp, ..."
        )


def whole(tensor: Tensor) -> Tensor:
    """The full value of an FSDP2 shard, on every rank; any other tensor is whole already."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def write(tensor: Tensor, value: Tensor) -> None:
    """``tensor.copy_(value)``, where ``value`` is whole and ``tensor`` may be an FSDP2 shard."""
    with torch.no_grad():
        if hasattr(tensor, "full_tensor"):
            from torch.distributed.tensor import distribute_tensor

            shard: Any = tensor
            value = distribute_tensor(value.to(shard.device, shard.dtype), shard.device_mesh, shard.placements)
        tensor.copy_(value)


def unsharded(root: nn.Module | None) -> AbstractContextManager[Any]:
    """Inside the context, if FSDP wraps ``root``, its parameters are whole, and values written to them are kept."""
    from torch.distributed.fsdp import FullyShardedDataParallel

    if isinstance(root, FullyShardedDataParallel):
        context: AbstractContextManager[Any] = FullyShardedDataParallel.summon_full_params(root, writeback=True)
        return context
    return nullcontext()
