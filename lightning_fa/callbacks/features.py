"""Outputs of chosen layers on given samples, in evaluation mode. The module is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_fa.callbacks.passes import blocks_of, find_attached, recorded
from lightning_fa.labels import known
from lightning_fa.undisturbed import undisturbed
from lightning_fa.wrappers import named_modules

Layers = Sequence[str] | None
"""Names of the modules whose outputs are taken; ``None`` for the outputs of the blocks, as they enter the next block."""


def check_callable(callback: Callback, module: LightningModule) -> None:
    """Refuse, before training, a module that cannot be called.

    Raises:
        MisconfigurationException: The module has no ``forward``.
    """
    inherited = LightningModule.forward.__qualname__, nn.Module.forward.__qualname__
    if module.forward.__qualname__ in inherited:
        raise MisconfigurationException(
            f"{type(callback).__name__} calls the module on its own samples, but {type(module).__name__} has no `forward`. "
            "Define one that returns the network's output, as in `def forward(self, x): return self.net(x)`."
        )


def features(
    trainer: Trainer, module: LightningModule, layers: Layers, samples: Tensor, batch_size: int = 1000
) -> dict[str, Tensor]:
    """``{layer: (rows, width)}`` on the CPU, in the order of ``layers`` or of the blocks.

    Args:
        trainer: The Trainer, for its precision and its rule.
        module: Called as ``module(samples)``.
        layers: See :data:`Layers`.
        samples: Inputs, ``(rows, ...)``.
        batch_size: Samples per forward pass.

    Raises:
        ValueError: A layer does not exist, was not called, or does not return a tensor.
    """
    parts: dict[str, list[Tensor]] = {}
    with undisturbed(module), torch.no_grad(), trainer.precision_plugin.forward_context():
        module.eval()
        for chunk in samples.split(batch_size):
            for name, h in _observed(trainer, module, layers, chunk.to(module.device)).items():
                parts.setdefault(name, []).append(h.reshape(len(chunk), -1).float().cpu())
    return {name: torch.cat(part) for name, part in parts.items()}


def _observed(trainer: Trainer, module: LightningModule, layers: Layers, x: Tensor) -> dict[str, Tensor]:
    if layers is None:
        with recorded(blocks_of(module, find_attached(trainer, module))) as outputs:
            module(x)
        return {name or "model": h for name, h in outputs.items()}
    modules = dict(named_modules(module))
    unknown = [name for name in layers if name not in modules]
    if unknown:
        raise ValueError(f"Expected names of modules in `layers`, but got {unknown}. The model has {sorted(modules)}.")
    seen: dict[str, Any] = {}
    with ExitStack() as stack:
        for name in layers:
            stack.callback(modules[name].register_forward_hook(_keep(seen, name)).remove)
        module(x)
    missing = [name for name in layers if not isinstance(seen.get(name), Tensor)]
    if missing:
        raise ValueError(f"The layers {missing} were not called by the model, or returned no tensor.")
    return {name: seen[name] for name in layers}


def _keep(seen: dict[str, Any], name: str) -> Callable[..., None]:
    def hook(_: nn.Module, args: Any, output: Any) -> None:
        # A copy, because the next layer may change it in place.
        seen[name] = output.clone() if isinstance(output, Tensor) else output

    return hook


def tensors(data: Any, limit: int | None = None) -> tuple[Tensor, Tensor]:
    """Inputs and labels as two tensors, from a pair of tensors or from anything that yields batches ``(x, y)``.

    Samples of class -100 are left out.

    Raises:
        ValueError: ``data`` is neither.
    """
    if isinstance(data, Sequence) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        x, y = _counted(*data)
        return x[:limit], y[:limit]
    inputs, labels, count = [], [], 0
    try:
        for x, y in data:
            x, y = _counted(x, y)
            inputs.append(x)
            labels.append(y)
            count += len(x)
            if limit is not None and count >= limit:
                break
        return torch.cat(inputs)[:limit], torch.cat(labels)[:limit]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"Expected a pair of tensors (inputs, labels) or a DataLoader of such pairs, but got {type(data).__name__}: {error}"
        ) from error


def _counted(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    counts = known(y)
    return (x, y) if y.is_floating_point() or y.ndim != 1 or counts.all() else (x[counts], y[counts])
