"""One pass through a model, by the rule, by backprop or by pseudobackprop, with the blocks' outputs and gradients recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor, nn

from lightning_fa.attached import Attached
from lightning_fa.mixin import FeedbackMixin
from lightning_fa.rules import Backpropagation
from lightning_fa.rules.base import TransportRule
from lightning_fa.surgery import adopt, release
from lightning_fa.table import governed_modules
from lightning_fa.training_step import CHECKPOINT_KEY
from lightning_fa.wiring.blocks.choice import Block, choose_blocks
from lightning_fa.wiring.tensors import argument, entering, exchange
from lightning_fa.wiring.transport.layers import Plan, Presented, choose_layers, ungovernable
from lightning_fa.wrappers import named_parameters

Loss = Callable[[LightningModule, Any], Tensor]
"""The user's own function for the loss of a batch, for modules whose ``training_step`` cannot be called twice."""


class Pass(NamedTuple):
    """The record of one pass.

    ``outputs``: block -> its output h, as h enters the next block; for the last block the network's output.
    ``signals``: block -> the error that reached h in the backward pass, ``dL/dh`` under backpropagation.
    ``updates``: parameter -> its gradient.
    """

    outputs: dict[str, Tensor]
    signals: dict[str, Tensor]
    updates: dict[str, Tensor]


def find_attached(trainer: Trainer, module: LightningModule) -> Attached | None:
    """The rule of ``module``, named by the module or by the strategy; ``None`` without one, and for the user's own ``attach``."""
    if isinstance(module, FeedbackMixin):
        return module.attached
    return getattr(trainer.strategy, "attached", None)


def check_continues(trainer: Trainer, module: LightningModule, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to continue the checkpoint of a rule by plain backpropagation, because a stock strategy does not refuse it.

    Raises:
        ValueError: The checkpoint was made under a rule, and no rule is attached.
    """
    saved = checkpoint.get(CHECKPOINT_KEY)
    made_by = None if saved is None else saved["config"]["rule"]
    under_a_rule = trainer.state.fn == TrainerFn.FITTING and made_by not in (None, Backpropagation.__name__)
    if under_a_rule and find_attached(trainer, module) is None and not governed_modules(module):
        raise ValueError(
            f"The checkpoint was made under the rule {made_by}, but here no rule is attached, so that backpropagation would "
            "continue it. Use the same rule to continue, or start from the checkpoint's weights: "
            "`Net.load_from_checkpoint(path)`, and `fit` without `ckpt_path`."
        )


def blocks_of(module: nn.Module, attached: Attached | None) -> list[Block]:
    """The blocks of the rule. Without a rule, the blocks that a rule would have by default."""
    if attached is None:
        return choose_blocks(module, None)
    return attached.blocks


@contextmanager
def recorded(blocks: Sequence[Block]) -> Iterator[dict[str, Tensor]]:
    """Inside, a forward pass fills the dict with each block's output, at the block's first call.

    A block that is called several times may be cut at its own output. Under a rule no gradient is recorded there.
    """
    outputs: dict[str, Tensor] = {}

    def before(name: str) -> Callable[..., Any]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            key = entering(args, kwargs)
            if key is None or name in outputs:
                return None
            outputs[name] = argument(args, kwargs, key)
            return exchange(args, kwargs, key, Tensor.clone)  # the block may change its input in place

        return hook

    def after(name: str) -> Callable[..., Any]:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            if not isinstance(output, Tensor) or name in outputs:
                return None
            outputs[name] = output
            return output.clone()

        return hook

    with ExitStack() as stack:
        for block, following in pairwise(blocks):
            if block.exit is not None:
                stack.callback(block.exit.register_forward_hook(after(block.name)).remove)
                continue
            handle = following.module.register_forward_pre_hook(before(block.name), with_kwargs=True)
            stack.callback(handle.remove)
        stack.callback(blocks[-1].module.register_forward_hook(after(blocks[-1].name)).remove)
        yield outputs


@contextmanager
def transported(blocks: Sequence[Block], rule: TransportRule) -> Iterator[None]:
    """Inside, every weight layer of a plain model sends its error down by ``rule``, which has no feedback of its own."""
    modules = {f"{b.name}.{n}".strip("."): m for b in blocks for n, m in b.module.named_modules()}
    layers, _ = choose_layers({n: m for n, m in modules.items() if not ungovernable(m)}, False, lambda _: False)

    def port(layer: nn.Module, name: str = "weight", x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weight: Tensor = getattr(layer, name)
        groups = getattr(layer, "groups", 1)
        matrix = weight.reshape(groups, weight.shape[0] // groups, -1) if groups > 1 else weight.flatten(1)
        return weight, rule.carrier(matrix, None).reshape(weight.shape)

    adopted: list[nn.Module] = []
    try:
        for name, layer in layers.items():
            own = [(layer.module, key, key) for key in layer.own]
            plan = Plan(port, name, [*own, *layer.others]) if layer.behaviour is Presented else port
            adopt(layer.module, layer.behaviour, plan)
            adopted.append(layer.module)
        yield
    finally:
        for module in adopted:
            release(module)


def run(
    trainer: Trainer,
    module: LightningModule,
    blocks: Sequence[Block],
    batch: Any,
    batch_index: int,
    loss: Loss | None = None,
    governed: bool = True,
) -> Pass | None:
    """One forward and backward pass on ``batch``; ``None`` if the step returns no loss. Writes no ``.grad``.

    Args:
        trainer: The Trainer, for its precision.
        module: The model. Call :func:`run` inside ``undisturbed``.
        blocks: The blocks to record.
        batch: A training batch, on the device.
        batch_index: Its index.
        loss: See :data:`Loss`; default: ``module.training_step``.
        governed: Whether the rule is on.
    """
    step = module.training_step if loss is None else None
    if step is not None and not governed:
        step = getattr(step, "own", step)  # without the rule's wrapper
    attached, context = find_attached(trainer, module), trainer.precision_plugin.train_step_context()
    kept = attached.graphs_kept() if attached is not None else nullcontext()
    with torch.enable_grad(), kept, recorded(blocks) as outputs, context:
        value = loss(module, batch) if loss else _call(step, batch, batch_index)  # type: ignore[arg-type]
        value = value.get("loss") if isinstance(value, Mapping) else value
    if value is None:
        return None
    parameters = {name: p for name, p in named_parameters(module) if p.requires_grad}
    reached = {name: h for name, h in outputs.items() if h.requires_grad}  # frozen blocks receive no error
    wanted = [*reached.values(), *parameters.values()]
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    scale = scaler.get_scale() if scaler is not None and scaler.is_enabled() else 1.0
    found = torch.autograd.grad(value * scale, wanted, allow_unused=True)
    gradients = [None if g is None else g.detach() / scale for g in found]
    signals = {name: g for name, g in zip(reached, gradients) if g is not None}
    updates = {name: g for name, g in zip(parameters, gradients[len(reached) :]) if g is not None}
    return Pass({name: h.detach() for name, h in outputs.items()}, signals, updates)


def _call(step: Callable[..., Any], batch: Any, batch_index: int) -> Any:
    if is_param_in_hook_signature(step, "batch_idx", min_args=2):
        return step(batch, batch_index)
    return step(batch)
