"""PreAlignment: sets the weights to agree with the direct feedback before training begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_fa.callbacks.monitor import check_measurable
from lightning_fa.callbacks.passes import Loss, blocks_of, find_attached, run
from lightning_fa.ops import pre_aligned
from lightning_fa.undisturbed import undisturbed
from lightning_fa.wiring.blocks.choice import Block


class PreAlignment(Callback):
    r"""Before the first step, let every linear layer above the first block carry errors down as the feedback does.

    .. math:: (W^{l+1})^T \propto D^l (\Delta^{l+1})^{+}, \qquad \|W^{l+1}\|_F = 1

    over the samples of the first batch. :math:`D^l` is the error that the rule delivers at block l's output.
    :math:`\Delta^{l+1}` is the error under the rule at the output of the linear layer that reads this output. If weights and
    feedback agreed everywhere, backpropagation would deliver the same errors as the rule. Unlike the other callbacks,
    PreAlignment changes the model. It does so once, and not again after a resume.

    Args:
        loss: ``loss(module, batch)``, called in place of ``training_step`` if that must not be called more than once per batch.

    Raises:
        MisconfigurationException: When training begins, if the rule is not direct, if a block other than the first does not
            begin with a ``Linear``, or if no rank has whole weights (FSDP).

    References: Launay, Poli & Krzakala 2019, their code.
    """

    def __init__(self, loss: Loss | None = None) -> None:
        self.loss = loss
        self.done = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            check_measurable(self, trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        attached = find_attached(trainer, pl_module)
        if attached is None or attached.rule.hears != "the output":
            rule = "none" if attached is None else type(attached.rule).__name__
            raise MisconfigurationException(
                f"PreAlignment expected a rule with direct feedback, but the rule is {rule}."
            )
        for block in blocks_of(pl_module, attached)[1:]:
            _reader(block)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.done or trainer.global_step:
            return
        self.done = True
        attached = find_attached(trainer, pl_module)
        blocks = blocks_of(pl_module, attached)
        readers = {block.name: _reader(block) for block in blocks[1:]}
        deltas: dict[str, Tensor] = {}
        with ExitStack() as stack, undisturbed(pl_module):
            for name, layer in readers.items():
                stack.callback(layer.register_forward_hook(_keep_gradient(deltas, name)).remove)
            seen = run(trainer, pl_module, blocks, batch, batch_idx, loss=self.loss)
        if seen is None:
            raise MisconfigurationException(
                "PreAlignment needs a loss of the first batch, but `training_step` returned none."
            )
        for before, block in pairwise(blocks):
            delivered, delta = (t.detach().flatten(1).float() for t in (seen.signals[before.name], deltas[block.name]))
            weight = readers[block.name].weight
            # all ranks take the weight found from rank 0's samples
            found = trainer.strategy.broadcast(pre_aligned(delivered, delta))
            with torch.no_grad():
                weight.copy_(found.to(weight))

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.done = state_dict["done"]


def _reader(block: Block) -> nn.Linear:
    """The layer of a block that reads the output of the block below."""
    first = next(m for m in block.module.modules() if any(p.ndim >= 2 for p in m.parameters(recurse=False)))
    if not isinstance(first, nn.Linear):
        raise MisconfigurationException(
            f"PreAlignment expected every block but the first to begin with a Linear, but {block.name!r} begins with "
            f"{type(first).__name__}. Train this network without PreAlignment."
        )
    return first


def _keep_gradient(deltas: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        output.register_hook(lambda gradient: deltas.__setitem__(name, gradient))

    return hook
