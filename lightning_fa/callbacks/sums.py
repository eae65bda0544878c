"""Sums over samples that can be added over ranks."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_fa.metrics.stateful import moments, summary
from lightning_fa.ops.wide import double, has_float64


class Sums:
    """``align/<layer>/<prefix> -> (2, 3)`` moments of angle and cosine (see ``metrics.stateful.moments``)."""

    def __init__(self, prefix: str = "align/") -> None:
        self.prefix = prefix
        self.moments: dict[str, Tensor] = {}
        self.spread: set[str] = set()

    def directions(self, layer: str, prefix: str, u: Tensor, v: Tensor, *, spread: bool = True) -> None:
        key = f"{self.prefix}{layer or 'model'}/{prefix}"
        self.moments[key] = moments(u, v)
        if spread:
            self.spread.add(key)

    def fixed(self, layer: str, quantity: str, source: Tensor | None, value: Any) -> None:
        if source is not None:
            key = f"{self.prefix}{layer or 'model'}/{quantity}"
            # stored as an angle with a weight of one per rank, so that the reduction averages over ranks
            self.moments[key + "="] = torch.tensor([[value(source), 0, 1], [0, 0, 1]], dtype=torch.float64)

    def add(self, other: Sums) -> None:
        self.moments |= other.moments
        self.spread |= other.spread

    def reduced(self, trainer: Trainer, module: LightningModule) -> dict[str, float]:
        if not self.moments:
            return {}
        dtype = torch.float64 if has_float64(module.device) else torch.float32
        stacked = torch.stack([each.to(module.device, dtype) for each in self.moments.values()])
        total = trainer.strategy.reduce(stacked, reduce_op="sum")
        assert isinstance(total, Tensor)
        numbers: dict[str, float] = {}
        for key, sums in zip(self.moments, double(total).cpu()):
            results = summary(sums)
            if key.endswith("="):
                numbers[key[:-1]] = results["angle"].item()
            else:
                wanted = [name for name in results if key in self.spread or not name.endswith("_std")]
                numbers |= {key + name: results[name].item() for name in wanted}
        return numbers
