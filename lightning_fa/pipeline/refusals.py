"""Checks before training: they refuse everything that a pipeline cannot train exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, StochasticWeightAveraging, WeightAveraging
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import LBFGS, Optimizer

from lightning_fa.mixin import FeedbackMixin
from lightning_fa.rules.base import Rule
from lightning_fa.wiring.blocks.choice import Block
from lightning_fa.wiring.checkpoints import in_checkpoint, recomputing

REASONS: dict[str, str] = {
    "the layer above": "its error travels from the output down through every layer, so that every stage would wait for the "
    "stage above",
    "the block above": "each of its predictors learns from the block above, so that an error would have to be sent down",
    "the head": "each of its blocks reads the head's weight, which only the last stage has",
}


def check_rule(rule: Rule, microbatches: int) -> None:
    """Refuse rules whose blocks need something from the block above, and microbatches under rules that are not direct.

    Raises:
        MisconfigurationException: The rule or the number of microbatches is refused; the message says why.
    """
    if microbatches < 1 or (microbatches > 1 and rule.hears != "the output"):
        raise MisconfigurationException(
            f"Expected `microbatches` to be 1, or more under a direct rule such as 'dfa', but got {microbatches} under "
            f"{type(rule).__name__}. Under local rules no stage waits for another, so that whole batches keep all stages busy."
        )
    if rule.hears in ("nothing", "the output"):
        return
    why = REASONS.get(rule.hears, "its error passes through all blocks")
    raise MisconfigurationException(
        f"{type(rule).__name__} cannot train in a pipeline: {why}. Use a rule whose blocks need nothing from above ('lafs', "
        "'local', 'drtp') or only the error at the network's output ('dfa'). Or use replicas, as in strategy='dfa_ddp'."
    )


def check_module(module: LightningModule, microbatches: int) -> None:
    """Refuse a module whose blocks cannot be found, or cannot run in stages.

    Raises:
        MisconfigurationException: The module is refused; the message says why.
    """
    name = type(module).__name__
    if isinstance(module, FeedbackMixin):
        return  # `FeedbackStrategyMixin` refuses it
    if microbatches > 1 and not module.automatic_optimization:
        raise MisconfigurationException(
            f"`microbatches={microbatches}` calls `training_step` once for each part of a batch, and {name} optimises in "
            "`training_step` (`automatic_optimization = False`): each part would be a step. Use `microbatches=1`, or automatic "
            "optimisation."
        )
    if microbatches > 1 and (normalised := [n for n, part in module.named_modules() if isinstance(part, _BatchNorm)]):
        raise MisconfigurationException(
            f"{', '.join(normalised)} normalise over the samples of a batch, but a microbatch has only a part of the samples: "
            "the result would depend on `microbatches`. Use `microbatches=1`, or normalise each sample by itself."
        )
    if module.example_input_array is None:
        raise MisconfigurationException(
            f"A pipeline finds its stages in a dry run. Set `self.example_input_array` in {name} to an input of `forward`."
        )
    compiled = [n for n, part in module.named_modules() if type(part).__name__ == "OptimizedModule"]
    if compiled or getattr(module, "_compiler_ctx", None) is not None or _compiled(module):
        raise MisconfigurationException(
            f"{name} is compiled, but a compiled graph cannot wait for another stage. Do not compile it for a pipeline."
        )


def check_chain(blocks: Sequence[Block]) -> None:
    """Refuse blocks that do not form a chain with one tensor between neighbours.

    Raises:
        ValueError: A block is called several times in a pass, or its output does not go to the next block only.
    """
    often = next((block.name for block in blocks if block.often), None)
    if often is not None:
        raise ValueError(
            f"Block {often!r} is called several times in one forward pass, but a stage of a pipeline runs once in a pass. With "
            "`blocks=` make a module that contains all its calls one block, or use replicas (strategy='dfa_ddp')."
        )
    beside = next((block.name for block in blocks if block.exit is not None), None)
    if beside is not None:
        raise ValueError(
            f"The output of block {beside!r} does not go to the next block only: a connection skips blocks, or blocks lie on "
            "parallel branches. Only one tensor can pass between two stages of a pipeline. With `blocks=` make a module that "
            "contains the blocks and the connection one block, or use replicas (strategy='dfa_ddp')."
        )


def check_recomputation(name: str) -> None:
    """Refuse an activation checkpoint around a block, because the recomputation would send and receive again.

    Raises:
        RuntimeError: The pass runs in an activation checkpoint, or is its recomputation.
    """
    if recomputing() or in_checkpoint():
        raise RuntimeError(
            f"{name!r} is called in an activation checkpoint, which would run it again, but a stage of a pipeline receives its "
            "input once. Checkpoint modules inside a block. Local rules hold the activations of one block in any case."
        )


def _compiled(module: LightningModule) -> bool:
    return any(getattr(part, "_compiled_call_impl", None) is not None for part in module.modules())


def check_trainer(trainer: Trainer, precision: Any) -> None:
    """Refuse callbacks that need the whole network, and gradient scalers, which decide by the gradients of one stage.

    Raises:
        MisconfigurationException: The message names what is refused.
    """
    if getattr(precision, "scaler", None) is not None:
        raise MisconfigurationException(
            "A gradient scaler would skip a step in one stage by the gradients of that stage, and not in the others. Use "
            "precision='bf16-mixed' for a pipeline."
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, (StochasticWeightAveraging, WeightAveraging, BatchSizeFinder)):
            raise MisconfigurationException(
                f"{type(callback).__name__} needs the whole network, but a rank of a pipeline has one stage of it. Use it "
                "with a DDP or single-device strategy."
            )


def check_optimizers(optimizers: Iterable[Optimizer]) -> None:
    """Refuse optimizers whose step for one weight depends on all weights.

    Raises:
        MisconfigurationException: The message names the optimizer.
    """
    for optimizer in optimizers:
        if isinstance(optimizer, LBFGS):
            raise MisconfigurationException(
                "LBFGS computes products over all weights, but a rank of a pipeline has the weights of one stage. Use an "
                "optimizer that updates each weight by itself, such as SGD or Adam."
            )
