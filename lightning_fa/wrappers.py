"""Names of modules as in the plain model, whatever wraps the model or a part of it.

A feedback matrix is drawn from its layer's name. With the prefix of a wrapper in the name the matrix would be another, and the
checkpoint of a compiled model would not fit the plain model. Wrappers are recognised by their type, because a user's own
attribute may also be called ``module``.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

WRAPPERS = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel": "_fsdp_wrapped_module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.CheckpointWrapper": "_checkpoint_wrapped_module",
    "lightning.fabric.wrappers._FabricModule": "_forward_module",
    "lightning_fabric.wrappers._FabricModule": "_forward_module",
}
"""Type of a wrapper -> the attribute that holds the wrapped module."""


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside all wrappers around it."""
    while True:
        names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__)
        held = [WRAPPERS[name] for name in names if name in WRAPPERS]
        inner = module._modules.get(held[0]) if held else None
        if inner is None:
            return module
        module = inner


def named_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """``root.named_modules()`` without wrappers, and without their prefixes in the names."""
    yield from _named(root, "", set())


def _named(module: nn.Module, name: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    module = unwrapped(module)
    if module in seen:
        return
    seen.add(module)
    yield name, module
    for key, child in module._modules.items():
        if child is not None:
            yield from _named(child, f"{name}.{key}" if name else key, seen)


def named_parameters(root: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """``root.named_parameters()``, named as by :func:`named_modules`."""
    seen: set[nn.Parameter] = set()
    for name, module in named_modules(root):
        for key, parameter in module._parameters.items():
            if parameter is not None and parameter not in seen:
                seen.add(parameter)
                yield f"{name}.{key}" if name else key, parameter
