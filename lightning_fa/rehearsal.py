"""One forward pass that leaves no trace, to learn the shapes inside a model before training begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lightning_fa.wiring import Wiring


def rehearse(model: nn.Module, wiring: Wiring, example: Any) -> None:
    """Run ``model`` on ``example`` in evaluation mode, with gradients on: statistics, dropout and RNG stay untouched.

    Args:
        model: The attached model.
        wiring: What observes the pass.
        example: A tensor, a tuple of arguments or a mapping of keywords.
    """
    modes = {module: module.training for module in model.modules()}
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    model.eval()
    wiring.rehearsing = True
    try:
        # A compiled module would compile a graph for the rehearsal alone.
        eager = torch.compiler.set_stance("force_eager")
        with torch.random.fork_rng(devices=devices), torch.enable_grad(), eager:
            if isinstance(example, Mapping):
                model(**example)
            elif isinstance(example, tuple):
                model(*example)
            else:
                model(example)
    finally:
        wiring.rehearsing = False
        for module, training in modes.items():
            module.training = training
