"""Gives the rule the targets, and joins the loss, around a LightningModule's own steps, which the user need not change."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lightning_fa.attach import attach
from lightning_fa.attached import Attached
from lightning_fa.rules import Rule
from lightning_fa.wiring.blocks.choice import Blocks, weights_of

Targets: TypeAlias = "str | int | Callable[[Any], Tensor] | None"
"""Where the targets are in a batch: a key, an index, a function of the batch, or ``None`` for the usual places."""

CHECKPOINT_KEY = "lightning_fa"
"""The key under which a checkpoint holds the rule and its feedback."""

USUAL_KEYS = ("targets", "target", "labels", "label", "y")


def find_targets(batch: Any, where: Targets = None) -> Tensor:
    """The targets of a batch: at ``where``, or else ``batch[1]`` of a sequence or the first usual key of a mapping.

    Raises:
        ValueError: there is no tensor in this place; the message says what was found.
    """
    found: Any = None
    if callable(where):
        found = where(batch)
        if not isinstance(found, Tensor):
            raise ValueError(f"The function given as `targets=` returned {_kind(found)}, expected a tensor.")
    elif where is not None:
        try:
            found = batch[where]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"There are no targets at {where!r} (`targets=`): the batch is {_kind(batch)}.") from error
        if not isinstance(found, Tensor):
            raise ValueError(f"Expected a tensor at {where!r} (`targets=`) of the batch, but got {_kind(found)}.")
    elif isinstance(batch, Mapping):
        found = next((batch[key] for key in USUAL_KEYS if key in batch), None)
    elif isinstance(batch, Sequence) and len(batch) > 1:
        found = batch[1]
    if isinstance(found, Tensor):
        return found
    raise ValueError(
        f"Expected the targets as a tensor in batch[1] or under one of the keys {USUAL_KEYS}, but got "
        f"{type(found).__name__} from a batch of type {type(batch).__name__}. Say where they are with `targets=`: an index, "
        "a key or a function of the batch."
    )


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with the keys {list(value)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)} items"
    return f"a {type(value).__name__}"


def begin(attached: Attached, trainer: Trainer, summary: str) -> None:
    """Start a ``fit``: refuse optimizers that do not hold the learned feedback, and print once what is governed.

    Args:
        attached: The rule in the model.
        trainer: The Trainer of the fit.
        summary: The line to print, made before a strategy shards the weights or keeps the weights of one stage only.
    """
    try:
        if trainer.optimizers:  # in manual optimisation they may be made later, and their first step checks them
            attached.check_optimizers(trainer.optimizers)
    except RuntimeError as error:
        raise MisconfigurationException(str(error)) from error
    rank_zero_info(summary)


def check_same_rule(attached: Attached, checkpoint: Mapping[str, Any]) -> None:
    """Refuse to continue a fit from a checkpoint of another rule. A checkpoint without a rule was made by backpropagation.

    Raises:
        ValueError: the rules differ; the message names both.
    """
    if CHECKPOINT_KEY in checkpoint:
        attached.check(checkpoint[CHECKPOINT_KEY])
    elif not attached.rule.control:
        raise ValueError(
            "The checkpoint was made by backpropagation: it holds no feedback rule. Here the rule is "
            f"{type(attached.rule).__name__}. Continue without a rule (a stock strategy, or 'bp'), or start from its weights: "
            "call `Net.load_from_checkpoint(path)`, and then `fit` without `ckpt_path`."
        )


class _Step:
    """Base of the two wrappers. A wrapper is an instance attribute, which hides the module's own method until it is deleted.

    A copy of the module that is made during `fit` has copies of the wrappers, and of the rule.
    """

    def __init__(self, attached: Attached, own: Callable[..., Any]) -> None:
        functools.update_wrapper(self, own)  # type: ignore[arg-type]  # Lightning reads the signature of the user's method
        self.attached = attached
        self.own = own


class TrainingStep(_Step):
    """Gives the batch's targets to the rule before the step, and joins the step's loss after it."""

    def __init__(self, attached: Attached, own: Callable[..., Any], targets: Targets, joins: bool) -> None:
        super().__init__(attached, own)
        self.targets = targets
        self.joins = joins

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_in_force()
        self.attached.forget()  # the step before may have raised, or returned None to skip its batch
        if self.attached.needs_targets:
            batch = args[0] if args else kwargs.get("batch")
            self.attached.targets = find_targets(batch, self.targets)
        out = self.own(*args, **kwargs)
        if not self.joins or out is None:
            return out
        if isinstance(out, Mapping):
            return {**out, "loss": self.attached.loss(out["loss"])}
        return self.attached.loss(out)

    def _check_in_force(self) -> None:
        module = getattr(self.own, "__self__", None)
        trainer = getattr(module, "_trainer", None)
        owners = () if trainer is None else (trainer.strategy, module)
        if owners and all(getattr(owner, "attached", None) is not self.attached for owner in owners):
            raise RuntimeError(
                f"This module is a copy that was made while {type(self.attached.rule).__name__} was in the original, so that it "
                "still holds the rule. To train it without the rule, load its `state_dict()` into a new module. A feedback "
                "strategy takes the rule out of a copy by itself."
            )


class ManualBackward(_Step):
    """Joins every loss that a manually optimised module differentiates. The targets of the step are kept for its next loss.

    Raises:
        RuntimeError: gradients are accumulated, and the loss was multiplied or divided before it was joined.
    """

    def __call__(self, loss: Tensor, *args: Any, **kwargs: Any) -> Any:
        targets, joined = self.attached.targets, self.attached.loss(loss)
        self.attached.targets = targets
        if joined is not loss:
            self._check_factor(loss)
        return self.own(joined, *args, **kwargs)

    def _check_factor(self, loss: Tensor) -> None:
        if type(loss.grad_fn).__name__ not in ("DivBackward0", "MulBackward0"):
            return
        head = self.attached.blocks[-1].module
        if any(p.grad is not None and p.grad.any() for p in head.parameters()):
            raise RuntimeError(
                "Gradients are accumulated, and the last operation on the loss is a factor. Under "
                f"{type(self.attached.rule).__name__} a factor such as 1/N in `manual_backward(loss / N)` does not reach what "
                "the rule computes without the network's error, which would count N times as much. Write "
                "`manual_backward(attached.loss(loss) / N)`, where `attached` is `self.trainer.strategy.attached` (with "
                "FeedbackMixin: `self.attached`). If the factor belongs to the loss, write "
                "`manual_backward(attached.loss(loss))`."
            )


def _example(module: LightningModule) -> Any:
    """The module's example input, on the device and in the dtype of its weights.

    Lightning moves and converts the weights later. Its model summary needs the example as it will be then ("64-true").
    """
    weights = [p for p in module.parameters() if p.is_floating_point()]
    dtypes = {p.dtype for p in weights}
    if len(dtypes) != 1:
        return module.example_input_array
    device, (dtype,) = weights[0].device, dtypes

    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)

    return tree_map_only(Tensor, moved, module.example_input_array)


def _free(module: LightningModule) -> None:
    """Take out the rule of which a copy of a module has a copy; see :class:`_Step`."""
    steps = [(name, value) for name, value in vars(module).items() if isinstance(value, _Step)]
    for _, step in steps[:1]:
        step.attached.detach()
    for name, _ in steps:
        del module.__dict__[name]


def _matrices(module: LightningModule) -> set[tuple[nn.Module, str]]:
    """The weight matrices, each by its layer and its name there."""
    return {(m, name) for m in module.modules() for name in weights_of(m)}


class Governed:
    """A LightningModule with a rule attached and its steps wrapped. :meth:`release` undoes both."""

    def __init__(
        self,
        module: LightningModule,
        rule: str | Rule,
        blocks: Blocks = None,
        targets: Targets = None,
        ungoverned: str | Sequence[str] = (),
    ) -> None:
        self.module = module
        _free(module)
        self.attached = attach(module, rule, blocks=blocks, ungoverned=ungoverned, example=_example(module))
        self._known = _matrices(module)
        self._hidden: dict[str, Any] = {}
        joins = self.attached.needs_loss or self.attached.checks_loss
        if joins or self.attached.needs_targets:
            automatic = module.automatic_optimization
            step = TrainingStep(self.attached, module.training_step, targets, joins and automatic)
            self._replace("training_step", step)
            if joins and not automatic:
                self._replace("manual_backward", ManualBackward(self.attached, module.manual_backward))

    def changed(self) -> bool:
        """Whether a weight matrix came into the module since the rule did, or a layer with weights left it."""
        present = set(self.module.modules())
        return not _matrices(self.module) <= self._known or any(layer not in present for layer, _ in self._known)

    def _replace(self, name: str, step: _Step) -> None:
        self._hidden[name] = self.module.__dict__.get(name)  # a compiled module has its own instance attribute
        self.module.__dict__[name] = step

    def release(self) -> None:
        """Detach the rule and give the module its own steps back."""
        for name, own in self._hidden.items():
            del self.module.__dict__[name]
            if own is not None:
                self.module.__dict__[name] = own
        self._hidden = {}
        self.attached.detach()
