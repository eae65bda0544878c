"""What a pipeline cannot do exactly, refused before any time is spent on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, StochasticWeightAveraging, WeightAveraging
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import LBFGS, Optimizer

from lightning_fa.mixin import FeedbackMixin
from lightning_fa.rules.base import Rule
from lightning_fa.wiring.blocks import Block
from lightning_fa.wiring.checkpoints import in_checkpoint, recomputing

TELLS = hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks")
"""Whether this PyTorch tells of a checkpoint while it is recorded (since 2.8), and not only when it runs again."""

REASONS: dict[str, str] = {
    "the layer above": "its error travels from the output down through every layer, so that every stage would wait for the one "
    "above",
    "the block above": "each of its predictors learns from the block above, and the answer would have to come down",
    "the head": "each of its blocks reads the head's weight, which the last stage has",
}


def check_rule(rule: Rule, microbatches: int) -> None:
    """Refuse rules whose blocks need something from the block above, and microbatches where they serve nothing.

    Raises:
        MisconfigurationException: the message says what.
    """
    if microbatches < 1 or (microbatches > 1 and rule.hears != "the output"):
        raise MisconfigurationException(
            f"Expected `microbatches` to be 1, or more under a direct rule as 'dfa', but got {microbatches} under "
            f"{type(rule).__name__}: its stages do not wait for one another, and whole batches fill them."
        )
    if rule.hears in ("nothing", "the output"):
        return
    why = REASONS.get(rule.hears, "its error passes through all blocks")
    raise MisconfigurationException(
        f"{type(rule).__name__} cannot train in a pipeline: {why}. Rules whose blocks need nothing from above can ('lafs', "
        "'local', 'drtp'), and those that need the error at the network's output only ('dfa'). Or use replicas, as in "
        "strategy='dfa_ddp'."
    )


def check_module(module: LightningModule, microbatches: int) -> None:
    """Refuse a module whose blocks cannot be found, or cannot be run in parts.

    Raises:
        MisconfigurationException: the message says why.
    """
    name = type(module).__name__
    if isinstance(module, FeedbackMixin):
        return  # the strategy's base says so
    if microbatches > 1 and (normalised := [n for n, part in module.named_modules() if isinstance(part, _BatchNorm)]):
        raise MisconfigurationException(
            f"{', '.join(normalised)} normalise over the samples of a batch, of which a microbatch has a part: the result "
            "would depend on `microbatches`. Use 1, or a normalisation of each sample by itself."
        )
    if module.example_input_array is None:
        raise MisconfigurationException(
            f"A pipeline finds its stages by a rehearsal: set `self.example_input_array` in {name}, an input of `forward`."
        )
    compiled = [n for n, part in module.named_modules() if type(part).__name__ == "OptimizedModule"]
    if compiled or getattr(module, "_compiler_ctx", None) is not None or _compiled(module):
        raise MisconfigurationException(
            f"{name} is compiled, and a compiled graph cannot wait for another stage. Do not compile it for a pipeline."
        )


def check_chain(blocks: Sequence[Block]) -> None:
    """Refuse blocks that one tensor in a pass does not join.

    Raises:
        ValueError: a block is called several times in a pass, or its output does not enter the next block alone.
    """
    often = next((block.name for block in blocks if block.often), None)
    if often is not None:
        raise ValueError(
            f"Block {often!r} is called several times in one forward pass, and a stage of a pipeline runs once in a pass. Make a "
            "module that contains all its calls one block with `blocks=`, or use replicas (strategy='dfa_ddp')."
        )
    beside = next((block.name for block in blocks if block.exit is not None), None)
    if beside is not None:
        raise ValueError(
            f"The output of block {beside!r} does not enter the next block alone: a connection passes blocks by, or blocks are "
            "two ways beside each other, and between two stages of a pipeline one tensor passes. Make a module that contains "
            "the blocks and the connection one block with `blocks=`, or use replicas (strategy='dfa_ddp')."
        )


def check_recomputation(name: str) -> None:
    """Refuse an activation checkpoint around a block: a pass that runs again would send and receive again.

    Raises:
        RuntimeError: a pass is recorded in one, or runs again.
    """
    if recomputing() or (TELLS and in_checkpoint()):
        raise RuntimeError(
            f"{name!r} is called in an activation checkpoint, and what a stage of a pipeline has received cannot be received "
            "again. Checkpoint modules inside a block; local rules hold the activations of one block anyway."
        )


def _compiled(module: LightningModule) -> bool:
    return any(getattr(part, "_compiled_call_impl", None) is not None for part in module.modules())


def check_trainer(trainer: Trainer, precision: Any) -> None:
    """Refuse what looks at whole weights, or decides by what only one stage knows.

    Raises:
        MisconfigurationException: the message names it.
    """
    if getattr(precision, "scaler", None) is not None:
        raise MisconfigurationException(
            "A gradient scaler skips a step by the gradients of one stage, and the others would not. Use "
            "precision='bf16-mixed' for a pipeline."
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, (StochasticWeightAveraging, WeightAveraging, BatchSizeFinder)):
            raise MisconfigurationException(
                f"{type(callback).__name__} needs the whole network, and a rank of a pipeline has one stage of it. Use it "
                "with a DDP or single-device strategy."
            )


def check_optimizers(optimizers: Iterable[Optimizer]) -> None:
    """Refuse optimizers whose step mixes all weights.

    Raises:
        MisconfigurationException: the message names it.
    """
    for optimizer in optimizers:
        if isinstance(optimizer, LBFGS):
            raise MisconfigurationException(
                "LBFGS decides by products over all weights, and a rank of a pipeline has those of one stage. Use an optimizer "
                "that treats each weight by itself, as SGD or Adam."
            )
