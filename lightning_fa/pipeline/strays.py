"""Parameters whose gradient arrives in another stage than their own: those that `training_step` applies to the input itself."""

from __future__ import annotations

from typing import Any

import torch

from lightning_fa.pipeline.weights import Weights
from lightning_fa.wiring.graph import leaves_below
from lightning_fa.wiring.tensors import tensors_in


class Strays:
    """Checks the inputs of a block that come from another stage. No parameter of this stage may have been applied to them.

    The dry run calls ``forward`` only. A parameter that it does not see belongs to the last stage, which has the loss.

    Args:
        weights: The weights of this stage.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def check(self, inputs: Any) -> None:
        """Refuse inputs that depend on a parameter of this stage.

        Raises:
            RuntimeError: The message names the parameter.
        """
        if not torch.is_grad_enabled():
            return
        entering = list(tensors_in(inputs))
        for leaf in (*entering, *leaves_below([tensor.grad_fn for tensor in entering], ())):
            name = self.weights.owners.names.get(id(leaf))
            if name is not None and leaf.requires_grad and self.weights.owns(leaf):
                raise RuntimeError(
                    f"{name!r} is applied to an input of the network outside of `forward`, where a pipeline finds no stage that "
                    "trains it. It would never learn. Use it inside `forward`."
                )
