"""PreAlignment: sets the weights to agree with the direct feedback before training begins."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_fa.callbacks.monitor import check_measurable
from lightning_fa.callbacks.passes import Loss, Pass, blocks_of, find_attached, run
from lightning_fa.ops import pre_aligned
from lightning_fa.undisturbed import undisturbed
from lightning_fa.wiring.blocks.choice import Block


class PreAlignment(Callback):
    r"""Before the first step, let every linear layer above the first block carry errors down as the feedback does.

    .. math:: (W^{l+1})^T \propto D^l (\Delta^{l+1})^{+}, \qquad \|W^{l+1}\|_F = 1

    over the samples of the first batch, or over the positions of its sequences. :math:`D^l` is the error that the rule delivers
    at block l's output. :math:`\Delta^{l+1}` is the error under the rule at the output of the linear layer that reads this
    output. If weights and feedback agreed everywhere, backpropagation would deliver the same errors as the rule. Unlike the
    other callbacks, PreAlignment changes the model. It does so once, and not again after a resume.

    Args:
        loss: ``loss(module, batch)``, called in place of ``training_step`` if that must not be called more than once per batch.

    Raises:
        MisconfigurationException: Before the first step, if the rule is not direct, if a block other than the first does not
            begin with a ``Linear`` that reads the block's input as it is, or if no rank has whole weights (FSDP).

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

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.done or trainer.global_step:
            return
        self.done = True
        attached = find_attached(trainer, pl_module)
        blocks = blocks_of(pl_module, attached)
        readers = {block.name: _Reader() for block in blocks[1:]}
        with ExitStack() as stack, undisturbed(pl_module):
            for block in blocks[1:]:
                readers[block.name].watch(block, stack)
            seen = run(trainer, pl_module, blocks, batch, batch_idx, loss=self.loss)
        if seen is None:
            raise MisconfigurationException(
                "PreAlignment needs a loss of the first batch, but `training_step` returned none."
            )
        # all are checked before the first weight changes
        errors = [readers[block.name].errors(before, block, seen) for before, block in pairwise(blocks)]
        for block, (delivered, delta) in zip(blocks[1:], errors, strict=True):
            weight = readers[block.name].linear.weight
            # all ranks take the weight found from rank 0's samples
            found = trainer.strategy.broadcast(pre_aligned(delivered, delta))
            with torch.no_grad():
                weight.copy_(found.to(weight))

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.done = state_dict["done"]


class _Reader:
    """The layer of a block that is called first, its input, and the error at its output."""

    def __init__(self) -> None:
        self.layer: nn.Module | None = None
        self.input: Any = None
        self.delta: Tensor | None = None

    @property
    def linear(self) -> nn.Linear:
        assert isinstance(self.layer, nn.Linear)
        return self.layer

    def watch(self, block: Block, stack: ExitStack) -> None:
        """Until ``stack`` closes, note the first call. The order of the calls need not be that of registration."""
        for layer in block.module.modules():
            if next(layer.parameters(recurse=False), None) is not None:
                stack.callback(layer.register_forward_pre_hook(self._enter, with_kwargs=True).remove)
                stack.callback(layer.register_forward_hook(self._leave).remove)

    def _enter(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.layer is None:
            self.layer = layer
            first = next(iter((*args, *kwargs.values())), None)
            # a later layer may change its input in place
            self.input = first.detach().clone() if isinstance(first, Tensor) else None

    def _leave(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if layer is self.layer and isinstance(layer, nn.Linear) and self.delta is None and output.requires_grad:
            output.register_hook(self._keep)

    def _keep(self, gradient: Tensor) -> None:
        self.delta = gradient

    def errors(self, before: Block, block: Block, seen: Pass) -> tuple[Tensor, Tensor]:
        """The errors delivered at the layer's input and found at its output. Every position of a sequence is a sample."""
        trains = "Train this network without PreAlignment."
        if not isinstance(self.layer, nn.Linear):
            begins = "calls no layer" if self.layer is None else f"begins with {type(self.layer).__name__}"
            raise MisconfigurationException(
                f"PreAlignment expected every block but the first to begin with a Linear, but {block.name!r} {begins}. {trains}"
            )
        h = seen.outputs[before.name]
        if self.input is None or self.input.numel() != h.numel() or not torch.equal(self.input.reshape(h.shape), h):
            raise MisconfigurationException(
                f"PreAlignment expected the first Linear of {block.name!r} to read the output of {before.name!r} as it is, but "
                f"something in between has changed the output, such as a normalisation or a dropout. {trains}"
            )
        delivered = seen.signals.get(before.name)
        if delivered is None or self.delta is None:
            raise MisconfigurationException(
                f"PreAlignment expected errors at the output of {before.name!r} and of the first Linear of {block.name!r}, but "
                f"no gradient arrives there: a block is frozen or is called several times. {trains}"
            )
        n, m = self.layer.in_features, self.layer.out_features
        return delivered.reshape(-1, n).float(), self.delta.detach().reshape(-1, m).float()
